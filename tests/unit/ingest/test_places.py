"""Where images lie, and which folders have to be listed to see whether they are still there."""

import pytest

from loupe.domain.images.places import ReferredFolders, is_referred, key_of, uri_of
from loupe.domain.manifests import InvalidManifest, S3Uri


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("parts/a b.png", S3Uri("raw", "parts/a b.png")),
        ("parts/s3://archive/a.png", S3Uri("raw", "parts/s3://archive/a.png")),
        ("s3://archive/a//b.png", S3Uri("archive", "a//b.png")),
        ("s3://archive/s3://raw/a.png", S3Uri("archive", "s3://raw/a.png")),
    ],
)
def test_a_key_says_where_an_image_lies(key: str, place: S3Uri) -> None:
    assert uri_of(key, "raw") == place
    assert key_of(str(place), "raw") == key
    assert is_referred(key) == (place.bucket != "raw")


def test_only_the_uri_of_an_object_is_one_of_an_image() -> None:
    with pytest.raises(InvalidManifest):
        key_of("s3://archive/", "raw")


def test_folders_come_once_and_without_those_in_them() -> None:
    keys = ["parts/a.png", "s3://x/a/b/1.png", "s3://x/a/2.png", "s3://x/a/b/3.png", "s3://y/4.png"]
    assert list(ReferredFolders(keys)) == ["s3://x/a/", "s3://y/"]
    assert list(ReferredFolders(["parts/a.png"])) == []
    assert list(ReferredFolders(["s3://x/ab/1.png", "s3://x/a/1.png"])) == ["s3://x/a/", "s3://x/ab/"]


def test_a_hundred_thousand_folders_are_listed_as_the_few_that_they_are_in() -> None:
    folders = ReferredFolders(
        (
            f"s3://x/{camera}/{day}/{number}.png"
            for camera in range(5)
            for day in range(2_000)
            for number in (1, 2)
        ),
    )
    assert list(folders) == [f"s3://x/{camera}/" for camera in range(5)]
    deep = ReferredFolders((f"s3://x/{number}/a/b/c.png" for number in range(5_000)), at_most=10)
    assert list(deep) == ["s3://x/"]
    buckets = ReferredFolders((f"s3://bucket-{number}/a/b.png" for number in range(20)), at_most=10)
    assert len(list(buckets)) == 20
