import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cli.drawing import draw
from cli.predict import in_words
from cli.stack import Json
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.cli.test_status import drop, label_all
from tests.unit.ingest.pictures import encoded

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


# Drawing --------------------------------------------------------------------------------------------


def plain(width: int, height: int, **options: Any) -> bytes:
    """A gray PNG."""
    return encoded(Image.new("RGB", (width, height), (120, 120, 120)), "PNG", **options)


BOLT = predicted("bolt", 0.93, box={"left": 10, "top": 20, "width": 30, "height": 12})
BOXES = {"task": "bounding-box", "predictions": [BOLT]}


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(64, 48, 10), (128, 128, 5), (1200, 900, 1), (5000, 3000, 1)]
)
@pytest.mark.parametrize("down", [0.0, 0.4, 0.6])
def test_boxes_are_drawn_where_they_are_with_legible_text_beside(
    width: int, height: int, scale: int, down: float
) -> None:
    sides = {"left": width * 0.3, "top": height * down, "width": width * 0.5, "height": height * 0.4}
    answer = {"task": "bounding-box", "predictions": [predicted("bolt", 0.93, box=sides)]}
    picture = draw(plain(width, height), answer, "")
    assert picture.size == (width * scale, height * scale)
    drawn = abs(np.asarray(picture, dtype=int) - 120).max(axis=2) > 60
    left, right = round(sides["left"] * scale), round(width * 0.8 * scale) - 1
    top, bottom = round(sides["top"] * scale), round(height * (down + 0.4) * scale) - 1
    middle = (left + right) // 2, (top + bottom) // 2
    for x, y in ((left, middle[1]), (right, middle[1]), (right, top), (middle[0], bottom)):
        assert drawn[y, x]
    edge = max(picture.size) // 100
    assert not drawn[top + edge : bottom - edge, left + edge : right - edge].any(), (
        "what is found stays in sight"
    )
    beside = drawn.copy()
    beside[top : bottom + 1] = False
    rows, columns = np.flatnonzero(beside.any(axis=1)), np.flatnonzero(beside.any(axis=0))
    assert len(rows) >= max(15, max(picture.size) / 60)
    assert len(columns) > 2 * len(rows)


def test_a_label_that_has_no_room_above_or_below_is_inside() -> None:
    sides = {"left": -3, "top": -2, "width": 900, "height": 900}
    picture = draw(plain(800, 600), {"predictions": [predicted("all of it", 0.5, box=sides)]}, "")
    assert (np.asarray(picture)[5:20, 5:60] != 120).all(axis=2).any()


def test_the_picture_lies_as_it_is_stored() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = draw(encoded(Image.new("RGB", (800, 600)), "JPEG", exif=turned), BOXES, "")
    assert (picture.size, dict(picture.getexif())) == ((800, 600), {})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(Image.new("CMYK", (800, 600)), "JPEG"), id="CMYK"),
        pytest.param(encoded(Image.new("L", (800, 600)), "PNG"), id="gray"),
        pytest.param(encoded(Image.new("RGBA", (800, 600)), "PNG"), id="transparent"),
        pytest.param(encoded(Image.new("I;16", (800, 600)), "PNG"), id="16 bits"),
        pytest.param(encoded(Image.new("P", (800, 600)), "PNG"), id="palette"),
    ],
)
def test_whatever_can_be_labeled_can_be_drawn_into(content: bytes) -> None:
    assert (draw(content, BOXES, "").mode, draw(content, BOXES, "").size) == ("RGB", (800, 600))


@pytest.mark.parametrize("task", ["image-classification", "multi-label-classification"])
def test_labels_are_a_caption_below_the_picture(task: str) -> None:
    answer = {"task": task, "predictions": [predicted("a rather long label", 0.9)] * 3}
    picture = draw(plain(100, 80), answer, in_words(answer))
    assert picture.width == 600
    assert picture.height > 480 + 30
    assert (np.asarray(picture)[:480] == 120).all()
    assert (np.asarray(picture)[480:].max()) == 255


def test_one_drawing_is_a_file(loupe: Loupe, stack: FakeStack, model: None, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(plain(64, 64))
    told = loupe("predict", "parts", image, "--draw", tmp_path / "new" / "answer.jpg").stdout
    assert "answer.jpg" in told.replace("\n", "")
    assert Image.open(tmp_path / "new" / "answer.jpg").format == "JPEG"


def test_several_drawings_are_a_folder(loupe: Loupe, stack: FakeStack, model: None, tmp_path: Path) -> None:
    names = ["a.png", "a.jpg", "other/a.png"]
    (tmp_path / "other").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(plain(64, 64))
    (tmp_path / "text.png").write_text("no image")
    given = [tmp_path / name for name in [*names, "text.png"]]
    result = loupe("predict", "parts", *given, "--draw", tmp_path / "out", "--json", exit_code=1)
    told = [json.loads(line).get("drawn") for line in result.stdout.splitlines()]
    expected = [str(tmp_path / "out" / name) for name in ("a.png", "a-2.png", "a-3.png")]
    assert told == [*expected, None]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-2.png", "a-3.png", "a.png"]


def test_what_can_not_be_drawn_is_said_before_anything_is_asked(
    loupe: Loupe, stack: FakeStack, model: None, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(plain(64, 64))
    told = loupe("predict", "parts", image, image, "--draw", tmp_path / "b.png", exit_code=1).stderr
    assert "give a folder" in told
    told = loupe("predict", "parts", "s3://raw/parts/a.png", "--draw", tmp_path, exit_code=1).stderr
    assert "download it first" in told
