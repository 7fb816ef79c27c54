import json
from pathlib import Path
from typing import Any

import pytest

from cli.predict import in_words
from cli.stack import Json
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.cli.test_status import drop, label_all

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def model(stack: FakeStack, project: str) -> None:
    drop(stack, project, "a.png", "b.png")
    label_all(stack, project)


def test_prints_an_object_a_line(loupe: Loupe, stack: FakeStack, model: None, tmp_path: Path) -> None:
    good, text = tmp_path / "good.png", tmp_path / "text.png"
    good.write_bytes(PNG)
    text.write_text("no image")
    stack.answers[PNG] = "1"
    result = loupe("predict", "parts", good, text, tmp_path / "none.png", "--json", exit_code=1)
    first, second, third = map(json.loads, result.stdout.splitlines())
    assert first["file"] == str(good)
    assert first["predictions"][0]["label"] == "1"
    assert "neither JPEG nor PNG" in second["error"]
    assert "No such file" in third["error"]


def test_prints_a_table(loupe: Loupe, stack: FakeStack, model: None, tmp_path: Path) -> None:
    image = tmp_path / "[odd] name.png"
    image.write_bytes(PNG)
    told = loupe("predict", "parts", image).stdout
    assert "[odd] name.png" in told
    assert "0 90.0%" in told


def predicted(label: str, confidence: float, **members: Any) -> Json:
    return {"label": label, "confidence": confidence, **members}


@pytest.mark.parametrize(
    ("task", "predictions", "told"),
    [
        (
            "multi-label-classification",
            [predicted("dent", 0.9, threshold=0.5), predicted("rust", 0.4, threshold=0.3)],
            "dent 90.0%, rust 40.0%",
        ),
        (
            "multi-label-classification",
            [predicted("dent", 0.4, threshold=0.5)],
            "no label (nearest: dent 40.0%)",
        ),
        (
            "bounding-box",
            [predicted("bolt", 0.9, box={"left": 4.2, "top": 8, "width": 30, "height": 20.6})] * 5,
            "bolt 90.0% at 4,8 30x21, bolt 90.0% at 4,8 30x21, bolt 90.0% at 4,8 30x21 and 2 more",
        ),
        ("bounding-box", [], "nothing found"),
    ],
)
def test_several_labels_and_boxes_are_told_in_a_line(task: str, predictions: list[Json], told: str) -> None:
    assert in_words({"task": task, "predictions": predictions}) == told


def test_an_image_in_the_bucket_is_asked_for_by_its_uri(loupe: Loupe, stack: FakeStack, model: None) -> None:
    stack.answers[b'{"s3_uri": "s3://raw/parts/a.png"}'] = "1"
    told = loupe("predict", "parts", "s3://raw/parts/a.png", "--json").stdout
    assert json.loads(told)["predictions"][0]["label"] == "1"


def test_a_file_that_is_too_large_names_the_way_that_works(loupe: Loupe, model: None, tmp_path: Path) -> None:
    image = tmp_path / "big.png"
    image.write_bytes(PNG + bytes(4_500_000))
    told = json.loads(loupe("predict", "parts", image, "--json", exit_code=1).stdout)["error"]
    assert "4,500,000" in told
    assert "s3://raw/parts/" in told


def test_before_there_is_a_model_it_says_what_is_missing(loupe: Loupe, project: str, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(PNG)
    told = json.loads(loupe("predict", project, image, "--json", exit_code=1).stdout)["error"]
    assert "label images first" in told


def test_an_unknown_project_is_a_fault(loupe: Loupe, project: str, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(PNG)
    assert "Did you mean parts?" in loupe("predict", "part", image, exit_code=1).stderr
