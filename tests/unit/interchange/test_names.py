"""Which image a name means."""

import pytest

from loupe.domain.interchange.names import AmbiguousName, Names, beside


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("train/a.jpg", "train/a.jpg"),
        ("./train/a.jpg", "train/a.jpg"),
        ("train\\a.jpg", "train/a.jpg"),
        ("b.jpg", "deep/down/b.jpg"),
        ("down/b.jpg", "deep/down/b.jpg"),
        ("/home/mara/data/train/a.jpg", "train/a.jpg"),
        ("deep/down/b", "deep/down/b.jpg"),
        ("c.jpg", None),
        ("own/b.jpg", None),
    ],
)
def test_a_name_is_a_path_its_end_or_what_ends_in_one(name: str, found: str | None) -> None:
    assert Names(["train/a.jpg", "deep/down/b.jpg", "a/c.png"]).find(name) == found


def test_of_paths_that_end_a_name_the_longest_is_meant() -> None:
    assert Names(["a.jpg", "x/a.jpg"]).find("/data/x/a.jpg") == "x/a.jpg"


def test_a_name_that_could_be_two_images_is_refused() -> None:
    with pytest.raises(AmbiguousName, match=r"train/a\.jpg or val/a\.jpg"):
        Names(["train/a.jpg", "val/a.jpg"]).find("a.jpg")


def test_images_are_looked_for_beside_the_label_file_first() -> None:
    present = {"set/images/a.jpg", "images/a.jpg"}
    assert beside("set/labels.csv", "images/a.jpg", present) == "set/images/a.jpg"
    assert beside("set/labels/l.csv", "../images/a.jpg", present) == "set/images/a.jpg"
    assert beside("other/l.csv", "images/a.jpg", present) == "images/a.jpg"
    assert beside("l.csv", "b.jpg", present) == "b.jpg"
