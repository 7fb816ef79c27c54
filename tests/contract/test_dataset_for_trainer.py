"""What build_dataset and plan_training write is what the trainer reads: through the channels of a job."""

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from local.sagemaker import channels
from local.sagemaker.platform import split_uri
from loupe.domain.label_values import Box, Boxes, LabelValue, SeveralLabels
from splits import ImageFolders, load_split, read_card, read_manifest
from tests.fakes.objects import FakeObjects
from tests.unit.training.world import World
from training import read_folders

ODD = ["new\nline", "a//b", "../up", "./here", "é" * 128, "file", "file/below", "folder/"]
ORDINARY = ["a b+%.png", "'quoted\".png", "🙂.png", "deep/er/still.png"]


@dataclass
class Storage:
    """The buckets as a training job sees them."""

    buckets: dict[str, FakeObjects]

    def read(self, uri: str) -> bytes:
        bucket, key = split_uri(uri)
        return self.buckets[bucket].read(key)

    def download(self, uri: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.read(uri))

    def keys_under(self, uri: str) -> list[str]:
        bucket, prefix = split_uri(uri)
        return [stored.key for stored in self.buckets[bucket].list(prefix)]


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 30), number).save(file, "PNG")
    return file.getvalue()


def channels_of_a_job(world: World, answers: Mapping[str, str | LabelValue], folder: Path) -> Path:
    """What a training job on these labels gets, below the folder."""
    world.finish("digits-1", answers)
    plan = world.plan(world.build().version or "")
    storage = Storage({"raw": world.raw, "workspace": world.workspace, "archive": world.archive})
    assert plan.training_job
    for channel in plan.training_job["InputDataConfig"]:
        channels.fill(channel, folder / channel["ChannelName"], storage)
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The channels of a training job on a dataset of images with ordinary and with odd keys."""
    world = World()
    world.configure(labels=("b", "a"))
    names = [f"{label} {number}/{name}" for label in "ab" for number in range(2) for name in ORDINARY + ODD]
    answers = {world.upload(name, content=png(at)): name[0] for at, name in enumerate(names)}
    return channels_of_a_job(world, answers, tmp_path)


def test_the_trainer_finds_every_image_with_its_label(job: Path) -> None:
    card = read_card(job / "dataset")
    assert card.labels == ("b", "a")
    assert card.version == "0001"
    folders = ImageFolders(job / "images", job / "copies")
    found = 0
    for name in ("train", "validation", "test"):
        rows = read_manifest(job / "dataset" / f"{name}.manifest", card)
        split = load_split(name, rows, folders, card, 32, in_memory=True)
        assert not any(split.left_out.values())
        assert all(card.labels[row.target] == row.source_ref.split("/")[4][0] for row in split.rows)
        found += len(split)
    assert found == 48


def several(labels: str) -> LabelValue:
    return SeveralLabels(tuple(labels))


def boxes(labels: str) -> LabelValue:
    return Boxes(tuple(Box(label, at, 1.5, 20, 12) for at, label in enumerate(labels)))


@pytest.mark.parametrize("value_of", [several, boxes])
def test_the_trainer_finds_the_labels_of_images_that_have_any_number_of_them(
    tmp_path: Path, value_of: Callable[[str], LabelValue]
) -> None:
    world = World()
    world.configure(task=value_of("").task, labels=("b", "a"))
    names = [f"{labels}/{number}.png" for labels in ("none", "a", "ba") for number in range(8)]
    answers = {
        world.upload(name, content=png(at)): value_of(name.partition("/")[0].replace("none", ""))
        for at, name in enumerate(names)
    }
    job = channels_of_a_job(world, answers, tmp_path)
    card = read_card(job / "dataset")
    folders = ImageFolders(job / "images", None)
    found = Counter[str]()
    for name in ("train", "validation", "test"):
        rows = read_manifest(job / "dataset" / f"{name}.manifest", card)
        split = load_split(name, rows, folders, card, 32, in_memory=True)
        for row in split.rows:
            labels = "".join(card.labels[index] for index in sorted(set(card.task.labels_in(row.target))))
            assert row.source_ref.split("/")[4].replace("none", "") == labels
            found[labels] += 1
    assert found == {"": 8, "a": 8, "ba": 8}


def test_the_trainer_tells_images_of_the_same_key_in_several_buckets_apart(tmp_path: Path) -> None:
    """And finds those whose keys can't be paths, of whichever bucket."""
    world = World()
    world.configure(labels=("b", "a"))
    names = [f"{label} {number}/{name}" for label in "ab" for number in range(2) for name in ORDINARY + ODD]
    answers = {}
    for at, name in enumerate(names):
        answers[world.upload(name, content=png(at))] = name[0]
        in_archive = world.upload(f"digits/{name}", content=png(128 + at), elsewhere=True)
        answers[in_archive] = "b" if name[0] == "a" else "a"
    job = channels_of_a_job(world, answers, tmp_path)
    card = read_card(job / "dataset")
    environment = {
        f"SM_CHANNEL_{folder.name.upper()}": str(folder) for folder in job.iterdir() if folder.is_dir()
    } | {"SM_MODEL_DIR": str(tmp_path), "SM_OUTPUT_DATA_DIR": str(tmp_path / "out")}
    folders = read_folders(environment).images
    found = 0
    for name in ("train", "validation", "test"):
        rows = read_manifest(job / "dataset" / f"{name}.manifest", card)
        split = load_split(name, rows, folders, card, 32, in_memory=True)
        assert not any(split.left_out.values())
        for row in split.rows:
            is_own = row.source_ref.startswith("s3://raw/")
            letter = row.source_ref.split("/")[4][0]
            assert card.labels[row.target] == (letter if is_own else "ab".replace(letter, ""))
        found += len(split)
    assert found == 96


def test_the_trainers_source_comes_along(job: Path) -> None:
    assert (job / "code" / "sourcedir.tar.gz").read_bytes() == b"source"
