"""`loupe export` of a dataset version in memory."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.label_values import OneLabel
from loupe.domain.manifests import write_rows
from loupe.domain.workspace import Workspace
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.cli.pictures import picture
from tests.unit.interchange.folder import exported

LABELS = ("0", "1")
KEYS = {"train": ["a.png", "deep er/b.png"], "validation": ["c.png"], "test": ["../../d.png"]}


@pytest.fixture
def version(stack: FakeStack, project: str) -> str:
    """Version 0001 of the project `parts`."""
    names, number = Workspace(project), 0
    for split, keys in KEYS.items():
        rows = []
        for key in keys:
            number += 1
            content = picture(number)
            stack.objects[f"{project}/{key}"] = content
            image = exported(key, OneLabel(LABELS[number % 2]), (40, 30), LABELS, "image-classification")
            rows.append(image.row | {"image-sha256": hashlib.sha256(content).hexdigest()})
        stack.workspace.write_lines(names.split("0001", split), write_rows(rows))
    card = DatasetCard(
        version="0001",
        task="image-classification",
        labels=LABELS,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        previous_version=None,
        jobs=("parts-20261121t101500-1a2b",),
        new_labels=4,
        counts={"train": {}, "validation": {}, "test": {}},
        left_out={},
        images={"train": 2, "validation": 1, "test": 1},
        without={"train": 0, "validation": 0, "test": 0},
        split_rule="",
    )
    stack.workspace.write(names.dataset_card("0001"), card.to_json())
    return "0001"


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_labels_alone_name_the_images_in_s3(loupe: Loupe, project: str, version: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    told = json.loads(loupe("export", project, folder, "--format", "csv", "--json").stdout)
    assert (told["version"], told["files"], told["images"]) == (version, 3, 0)
    assert files_in(folder) == ["test.csv", "train.csv", "validation.csv"]
    assert (folder / "train.csv").read_bytes() == (
        b"file,label\r\ns3://raw/parts/a.png,1\r\ns3://raw/parts/deep er/b.png,0\r\n"
    )
    assert files_in(tmp_path) == [f"out/{name}" for name in files_in(folder)]


def test_images_come_with_their_labels_and_stay_in_the_folder(
    loupe: Loupe, stack: FakeStack, project: str, version: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    loupe("export", project, folder, "--format", "yolo", "--images")
    found = files_in(folder)
    assert len(found) == 4
    assert "train/1/a.png" in found
    assert "train/0/deep er/b.png" in found
    assert list(tmp_path.iterdir()) == [folder]


def test_an_image_that_is_gone_is_named_and_the_same_command_goes_on(
    loupe: Loupe, stack: FakeStack, project: str, version: str, tmp_path: Path
) -> None:
    content = stack.objects.pop("parts/a.png")
    arguments = ("export", project, tmp_path / "out", "--format", "coco", "--images")
    result = loupe(*arguments, exit_code=1)
    assert "train/a.png: s3://raw/parts/a.png is not there" in result.stderr
    assert not (tmp_path / "out").exists()
    stack.objects["parts/a.png"] = picture(77)
    assert "is another image than the one that was labeled" in loupe(*arguments, exit_code=1).stderr
    stack.objects["parts/a.png"] = content
    loupe(*arguments)
    assert (tmp_path / "out/train/a.png").read_bytes() == content


def test_a_folder_with_something_in_it_is_left_alone(
    loupe: Loupe, project: str, version: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = loupe("export", project, tmp_path, "--format", "csv", exit_code=1)
    assert "is not empty" in result.stderr
    assert files_in(tmp_path) == ["mine.txt"]


def test_a_version_that_is_not_there_is_told_with_those_that_are(
    loupe: Loupe, project: str, version: str, tmp_path: Path
) -> None:
    result = loupe("export", project, tmp_path / "out", "--format", "csv", "--version", "7", exit_code=1)
    assert "There are: 0001." in result.stderr


def test_without_any_version_it_says_when_there_is_one(loupe: Loupe, project: str, tmp_path: Path) -> None:
    result = loupe("export", project, tmp_path / "out", "--format", "csv", exit_code=1)
    assert "no dataset version yet" in result.stderr
