"""`loupe report` of dataset versions in memory."""

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
from tests.unit.interchange.folder import exported

NAMES = Workspace("parts")


@pytest.fixture
def version(stack: FakeStack, project: str) -> str:
    """A version of three images that was written without a report."""
    labels = ("0", "1")
    for split in ("train", "validation", "test"):
        image = exported(f"{split}.png", OneLabel("0"), (40, 30), labels, "image-classification")
        stack.workspace.write_lines(NAMES.split("0001", split), write_rows([image.row]))
    card = DatasetCard(
        version="0001",
        task="image-classification",
        labels=labels,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        previous_version=None,
        jobs=(),
        new_labels=3,
        images={"train": 1, "validation": 1, "test": 1},
        counts={"train": {"0": 1}, "validation": {"0": 1}, "test": {"0": 1}},
        without={"train": 0, "validation": 0, "test": 0},
        left_out={},
        split_rule="",
    )
    stack.workspace.write(NAMES.dataset_card("0001"), card.to_json())
    return "0001"


def test_the_report_that_lies_beside_the_version_is_written_to_a_file(
    loupe: Loupe, stack: FakeStack, project: str, version: str, tmp_path: Path
) -> None:
    stack.workspace.write(NAMES.dataset_report(version), "<p>as it was built é".encode())
    file = tmp_path / "report.html"
    told = loupe("report", project, "--output", file).stdout
    assert told == f"{file}\n"
    assert file.read_text(encoding="utf-8") == "<p>as it was built é"


def test_a_version_without_a_report_gets_it_and_keeps_it(
    loupe: Loupe, stack: FakeStack, project: str, version: str
) -> None:
    told = json.loads(loupe("report", project, "--json").stdout)
    path = Path(told.pop("path"))
    page = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    assert told == {"project": project, "version": version}
    assert path.name == "parts-0001.html"
    assert page == stack.workspace.read(NAMES.dataset_report(version))
    assert b"parts: dataset version 0001" in page


def test_a_version_that_there_is_not_is_told_with_those_that_there_are(
    loupe: Loupe, project: str, version: str
) -> None:
    told = loupe("report", project, "--version", "0009", "--json", exit_code=1).stderr
    assert "no dataset version '0009'" in told
    assert "0001" in told


def test_before_the_first_version_there_is_no_report(loupe: Loupe, project: str) -> None:
    assert "no dataset version yet" in loupe("report", project, exit_code=1).stderr


def test_a_file_that_cannot_be_written_is_named(
    loupe: Loupe, project: str, version: str, tmp_path: Path
) -> None:
    told = loupe("report", project, "--output", tmp_path / "nowhere" / "r.html", exit_code=1).stderr
    assert "nowhere" in told
