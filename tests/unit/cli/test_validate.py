"""`loupe validate` on a stack in memory."""

import json
from datetime import UTC, datetime

from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.workspace import Workspace
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.rekognition.rows import labeled, lines

NAMES = Workspace("parts")


def write_version(stack: FakeStack, *bad: str) -> None:
    """Dataset version 0001, whose training manifest ends with bad lines."""
    card = DatasetCard(
        version="0001",
        task="image-classification",
        labels=("ok", "scratch"),
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        previous_version=None,
        jobs=(),
        new_labels=0,
        counts={split: {"ok": 0, "scratch": 0} for split in ("train", "validation", "test")},
        left_out={},
        images={"train": 0, "validation": 0, "test": 0},
        without={"train": 0, "validation": 0, "test": 0},
        split_rule="",
    )
    store = stack.workspace
    for first, split in enumerate(("train", "validation", "test")):
        rows = lines(*(labeled(10 * first + n, ("ok", "scratch")[n % 2], n % 2) for n in range(6)))
        more = bad if split == "train" else ()
        store.write_lines(NAMES.split("0001", split), (f"{line}\n" for line in (*rows, *more)))
    store.write(NAMES.dataset_card("0001"), card.to_json())


def test_a_good_version_has_nothing_to_mend(loupe: Loupe, stack: FakeStack) -> None:
    write_version(stack)
    result = loupe("validate", "parts")
    assert "train: 12 rows, 12 to be used, 0 bad" in result.stdout
    assert "Nothing to mend." in result.stdout
    assert not any("rekognition" in key for key in stack.workspace.content)


def test_a_bad_row_is_shown_with_its_line_and_remedy_and_is_no_failure(
    loupe: Loupe, stack: FakeStack
) -> None:
    write_version(stack, "{")
    result = loupe("validate", "parts")
    assert "train.manifest:7" in result.stdout
    assert "1 x ERROR_INVALID_JSON_LINE: make the line one JSON object" in result.stdout


def test_what_rekognition_would_refuse_is_a_failure(loupe: Loupe, stack: FakeStack) -> None:
    write_version(stack, *"{{{{{{{")
    result = loupe("validate", "parts", "--json", exit_code=1)
    report = json.loads(result.stdout)
    assert not report["ok"]
    assert report["codes"]["ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"] == 1
    assert "would not train" in result.stderr


def test_one_dataset_is_checked_for_its_distribution(loupe: Loupe, stack: FakeStack) -> None:
    write_version(stack)
    report = json.loads(loupe("validate", "parts", "--distribute", "--json").stdout)
    assert set(report["datasets"]) == {"train"}
    assert report["datasets"]["train"]["used"] == 18


def test_project_yaml_says_how_test_images_are_chosen_unless_the_command_does(
    loupe: Loupe, stack: FakeStack
) -> None:
    write_version(stack)
    config = {
        "task": "image-classification",
        "labels": ["ok", "scratch"],
        "training": {"trainer": "rekognition", "rekognition": {"test_dataset": "distribute"}},
        "hosting": {"kind": "rekognition"},
    }
    stack.write_configuration("parts", json.dumps(config))
    report = json.loads(loupe("validate", "parts", "--json").stdout)
    assert set(report["datasets"]) == {"train"}
    separate = json.loads(loupe("validate", "parts", "--separate", "--json").stdout)
    assert set(separate["datasets"]) == {"train", "test"}


def test_a_version_that_is_not_there_is_named(loupe: Loupe, stack: FakeStack) -> None:
    write_version(stack)
    result = loupe("validate", "parts", "--version", "0009", exit_code=1)
    assert "There are: 0001" in result.stderr
