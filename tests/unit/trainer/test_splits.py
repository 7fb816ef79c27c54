import json
from pathlib import Path

import pytest
import torch

from errors import TrainingError
from splits import (
    ImageFolders,
    Row,
    choose_side,
    load_split,
    read_card,
    read_manifest,
    require_every_label,
)
from tests.unit.trainer.samples import CARD, LABELS, Job, picture, row

DATA = picture("dark", 0)
GOOD = row("grey/a.png", DATA, "dark")


def manifest(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "train.manifest"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def folders(job: Job) -> ImageFolders:
    return ImageFolders(job.images, job.root / "copies")


def rows_of(job: Job) -> list[Row]:
    job.environment()
    return read_manifest(job.dataset / "train.manifest", CARD)


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({}, 1),
        ({"label": "1", "label-metadata": {}}, 1),
        ({"label": 0, "label-metadata": {}}, 0),
        ({"label": 0, "label-metadata": {"class-name": "dark"}}, 1),
    ],
    ids=["as written", "index as text", "index", "class name wins"],
)
def test_label_is_read_in_each_form(tmp_path: Path, changes: dict[str, object], index: int) -> None:
    assert read_manifest(manifest(tmp_path, GOOD | changes), CARD)[0].target == index


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "not a JSON object"),
        (GOOD | {"label-metadata": {"class-name": "grey"}}, "label 'grey' is not one of"),
        (GOOD | {"label": 2, "label-metadata": {}}, "label is 2"),
        (GOOD | {"label": True, "label-metadata": {}}, "label is True"),
        (GOOD | {"source-ref": "http://x/y"}, "source-ref"),
        (GOOD | {"image-sha256": "abc"}, "image-sha256"),
    ],
)
def test_row_that_is_no_labeled_image_is_named_with_its_line(tmp_path: Path, bad: object, words: str) -> None:
    with pytest.raises(TrainingError, match=f"train.manifest line 2: .*{words}"):
        read_manifest(manifest(tmp_path, GOOD, bad), CARD)


def test_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.manifest"
    path.write_text('{"source-ref": ', encoding="utf-8")
    with pytest.raises(TrainingError, match="line 1: not JSON"):
        read_manifest(path, CARD)


@pytest.mark.parametrize(
    "card",
    [
        {"task": "segmentation", "labels": ["a", "b"]},
        {"task": "image-classification", "labels": ["a"]},
        {"task": "multi-label-classification", "labels": []},
        {"task": "image-classification", "labels": ["a", "a"]},
        {"task": "image-classification"},
    ],
)
def test_card_of_another_task_or_without_labels_is_refused(tmp_path: Path, card: dict[str, object]) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"dataset\.json"):
        read_card(tmp_path)


@pytest.mark.parametrize("key", ["grey/train 1/a+b%20 'ü'.png", "grey/line\nbreak.png", "grey/🦊.png"])
def test_image_is_found_by_its_whole_key(tmp_path: Path, key: str) -> None:
    job = Job(tmp_path)
    job.add("train", key, DATA, "dark")
    assert folders(job).find(rows_of(job)[0]) == job.images / key


@pytest.mark.parametrize(
    "key", ["grey/../../secret.png", "grey//a.png", "grey/./a.png", "grey/" + "x" * 300, "grey/"]
)
def test_image_whose_key_cannot_be_a_path_is_found_by_its_hash(tmp_path: Path, key: str) -> None:
    job = Job(tmp_path)
    job.images.mkdir(parents=True)
    (job.images.parent / "secret.png").write_bytes(b"not this")
    job.rows["train"].append(row(key, DATA, "dark"))
    [found] = rows_of(job)
    assert folders(job).find(found) is None
    copy = job.root / "copies" / found.sha256
    copy.parent.mkdir()
    copy.write_bytes(DATA)
    assert folders(job).find(found) == copy


def test_bad_images_are_left_out_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = Job(tmp_path)
    job.add_pictures(train=15)
    job.rows["train"].insert(0, row("grey/gone.png", DATA, "dark"))
    job.add("train", "grey/changed.png", DATA, "dark")
    (job.images / "grey/changed.png").write_bytes(picture("dark", 99))
    job.add("train", "grey/text.png", b"not an image", "dark")
    split = load_split("train", rows_of(job), folders(job), CARD, 32, in_memory=True)
    assert split.left_out == {"missing": 1, "changed": 1, "undecodable": 1}
    assert len(split) == 30
    pixels, labels = split[0]
    assert pixels.float().mean() > 150
    assert labels.tolist() == [LABELS.index("bright")]
    output = capsys.readouterr().out
    assert 'train.manifest line 1, "s3://raw/grey/gone.png": missing' in output
    assert "line 32" in output
    assert "line 33" in output


def test_more_than_a_tenth_left_out_fails_with_the_reasons(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.add_pictures(train=5)
    rows = rows_of(job)
    for number in range(2):
        (job.images / f"grey/train bright/{number}.png").unlink()
    with pytest.raises(TrainingError, match=r"2 of 10 images of train.manifest .*2 missing"):
        load_split("train", rows, folders(job), CARD, 32, in_memory=True)


def test_images_on_disk_are_the_same_as_in_memory(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.add_pictures(train=4)
    rows = rows_of(job)
    in_memory = load_split("train", rows, folders(job), CARD, 32, in_memory=True)
    on_disk = load_split("train", rows, folders(job), CARD, 32, in_memory=False)
    batches = [[0, 3, 3], [7]]
    for (some, labels), (others, other_labels) in zip(
        in_memory.batches(batches), on_disk.batches(batches), strict=True
    ):
        assert torch.equal(some, others)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize(("side", "chosen"), [(8, 32), (64, 64), (100, 96), (120, 128), (500, 224)])
def test_side_is_the_median_to_a_multiple_of_32(tmp_path: Path, side: int, chosen: int) -> None:
    job = Job(tmp_path)
    for number in range(3):
        job.add("train", f"grey/{number}.png", picture("dark", number, side), "dark")
    job.add("train", "grey/huge.png", picture("dark", 9, 700), "dark")
    job.add("train", "grey/text.png", b"text", "dark")
    assert choose_side(rows_of(job), folders(job), CARD.task) == chosen


def test_label_without_training_images_is_named(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.add("train", "grey/a.png", DATA, "dark")
    split = load_split("train", rows_of(job), folders(job), CARD, 32, in_memory=True)
    with pytest.raises(TrainingError, match="no training images for: bright"):
        require_every_label(split, CARD)
