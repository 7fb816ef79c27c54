import io
from itertools import combinations

import numpy
import pytest
from PIL import Image

from cli.digits import Digit
from cli.scenes import SIDE, Scene, compose


def blocks() -> list[Digit]:
    """Scans with an upright block of ink, as each of the digits."""
    pixels = numpy.zeros((8, 8), numpy.uint8)
    pixels[1:7, 2:6] = 255
    return [Digit(f"scan-{number}.png", pixels, str(number)) for number in range(10)]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return compose(blocks(), 40, seed=3)


def test_same_seed_composes_the_same_scenes_and_another_one_others(scenes: list[Scene]) -> None:
    assert compose(blocks(), 40, seed=3) == scenes
    assert compose(blocks(), 40, seed=4) != scenes


def test_scenes_are_small_pictures_with_names_of_their_own(scenes: list[Scene]) -> None:
    assert len({scene.name for scene in scenes}) == 40
    for scene in scenes:
        with Image.open(io.BytesIO(scene.png)) as image:
            assert (image.size, image.mode) == ((SIDE, SIDE), "L")


def test_boxes_lie_in_the_picture_and_apart_from_one_another(scenes: list[Scene]) -> None:
    for scene in scenes:
        for one in scene.digits:
            assert 0 <= one.left < one.left + one.width <= SIDE
            assert 0 <= one.top < one.top + one.height <= SIDE
        for one, other in combinations(scene.digits, 2):
            beside = one.left + one.width <= other.left or other.left + other.width <= one.left
            above = one.top + one.height <= other.top or other.top + other.height <= one.top
            assert beside or above


def test_all_digits_come_up_equally_often(scenes: list[Scene]) -> None:
    labels = [digit.label for scene in scenes for digit in scene.digits]
    counts = [labels.count(str(number)) for number in range(10)]
    assert sum(counts) >= 80
    assert max(counts) - min(counts) <= 5
