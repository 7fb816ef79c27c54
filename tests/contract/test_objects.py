"""What every bucket does: the fake and S3 alike."""

import hashlib
from typing import Protocol

import boto3
import pytest
from botocore.stub import Stubber

from loupe.adapters.objects import PART_BYTES, AccessDenied, ImageObjects, S3Objects
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.ports.objects import OpensObjects, StoresObjects
from tests.contract.conftest import REGION
from tests.fakes.objects import FakeObjects

KEYS = [
    "digits/a b.png",
    "digits/a+b%20c%.png",
    "digits/'quoted' \"twice\".png",
    "digits/😀/é.png",
    "digits/" + "x" * 1017,
]


class Bucket(StoresObjects, OpensObjects, Protocol):
    """Both ports of a bucket."""


@pytest.fixture(params=["fake", "moto"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    if request.param == "fake":
        return FakeObjects("raw-data")
    request.getfixturevalue("aws")
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="raw-data")
    client.put_bucket_versioning(Bucket="raw-data", VersioningConfiguration={"Status": "Enabled"})
    return S3Objects(client, "raw-data")


@pytest.fixture(params=["fake", "moto"])
def buckets(request: pytest.FixtureRequest) -> tuple[Bucket, Bucket]:
    """The raw-data bucket, and another one that has versions of nothing."""
    if request.param == "fake":
        other = FakeObjects("archive")
        return FakeObjects("raw-data", others={"archive": other}), other
    request.getfixturevalue("aws")
    client = boto3.client("s3", region_name=REGION)
    for name in ("raw-data", "archive"):
        client.create_bucket(Bucket=name)
    return ImageObjects(client, "raw-data"), S3Objects(client, "archive")


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_taken_as_they_are(bucket: Bucket, key: str) -> None:
    bucket.write(key, b"content")
    assert bucket.read(key) == b"content"
    assert bucket.exists(key)
    assert [stored.key for stored in bucket.list("digits/")] == [key]


def test_what_is_not_there_is_missing(bucket: Bucket) -> None:
    assert not bucket.exists("a")
    with pytest.raises(ObjectMissing, match="raw-data/a"):
        bucket.read("a")
    with pytest.raises(ObjectMissing):
        bucket.read_range("a", 0, 1)
    with pytest.raises(ObjectMissing):
        bucket.open("a")
    with pytest.raises(ObjectMissing):
        list(bucket.lines("a"))
    with pytest.raises(ObjectMissing), bucket.opened("a"):
        pass
    with pytest.raises(ObjectMissing):
        bucket.copy_from("raw-data", "a", "b")


def test_an_opened_object_tells_about_itself_before_it_is_read(bucket: Bucket) -> None:
    bucket.write("a", b"first")
    bucket.write("a", b"second")
    with bucket.opened("a") as opened:
        assert (opened.head.key, opened.head.size) == ("a", 6)
        assert opened.head.etag == hashlib.md5(b"second", usedforsecurity=False).hexdigest()
        assert opened.read() == b"second"
        version = opened.head.version_id
    assert version is not None
    bucket.write("a", b"third")
    assert bucket.read("a", version) == b"second"
    with bucket.opened("a") as unread:
        assert unread.head.version_id != version


def test_an_object_can_be_streamed(bucket: Bucket) -> None:
    bucket.write("a", b"0123456789")
    stream = bucket.open("a")
    assert stream.read(4) + stream.read() == b"0123456789"


def test_lines_come_back_as_written(bucket: Bucket) -> None:
    lines = ['{"label":"é\\u2028"}\n', '{"label":"b"}\n']
    bucket.write_lines("manifest", iter(lines))
    assert [line.rstrip("\n") for line in bucket.lines("manifest")] == [line.rstrip("\n") for line in lines]


def test_text_longer_than_a_part_is_written_whole(bucket: Bucket) -> None:
    line = "x" * 9_999 + "\n"
    count = PART_BYTES // len(line) + 10
    bucket.write_lines("manifest", (line for _ in range(count)))
    assert sum(1 for _ in bucket.lines("manifest")) == count


def test_no_lines_make_an_empty_object(bucket: Bucket) -> None:
    bucket.write_lines_once("manifest", [])
    assert bucket.read("manifest") == b""


def test_what_is_written_once_stays(bucket: Bucket) -> None:
    bucket.write_once("a", b"first")
    with pytest.raises(AlreadyWritten):
        bucket.write_once("a", b"second")
    with pytest.raises(AlreadyWritten):
        bucket.write_lines_once("a", ["second\n"])
    assert bucket.read("a") == b"first"


def test_objects_are_copied(bucket: Bucket) -> None:
    bucket.write(KEYS[1], b"content")
    bucket.copy_from("raw-data", KEYS[1], "copy")
    assert bucket.read("copy") == b"content"


@pytest.mark.usefixtures("aws")
def test_tags_stay_behind_since_reading_them_takes_another_right() -> None:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="raw-data")
    client.put_object(Bucket="raw-data", Key="a", Body=b"content", Tagging="owner=ana")
    S3Objects(client, "raw-data").copy_from("raw-data", "a", "copy")
    assert client.get_object_tagging(Bucket="raw-data", Key="copy")["TagSet"] == []


def test_a_listing_tells_size_and_etag(bucket: Bucket) -> None:
    for key in ("b/2", "a/1", "b/1", "c"):
        bucket.write(key, key.encode())
    listed = list(bucket.list("b/"))
    assert [(stored.key, stored.size) for stored in listed] == [("b/1", 3), ("b/2", 3)]
    assert listed[0].etag == hashlib.md5(b"b/1", usedforsecurity=False).hexdigest()
    assert listed[0].last_modified.tzinfo is not None


def test_folders_are_listed_by_name(bucket: Bucket) -> None:
    for key in ("a/1", "a/b/2", "a/c/3", "d"):
        bucket.write(key, b"")
    assert list(bucket.list_folders("")) == ["a"]
    assert list(bucket.list_folders("a/")) == ["b", "c"]


def test_a_presigned_url_names_the_version(bucket: Bucket) -> None:
    url = bucket.presigned_url("digits/a b.png", "v7", 60)
    assert "a%20b.png" in url
    assert "versionId=v7" in url
    assert "versionId" not in bucket.presigned_url("digits/a b.png", None, 60)


def test_a_range_of_an_object_is_read(bucket: Bucket) -> None:
    bucket.write("a", b"0123456789")
    assert bucket.read_range("a", 0, 3) == b"012"
    assert bucket.read_range("a", 7, 1) == b"7"
    assert bucket.read_range("a", 8, 50) == b"89"


@pytest.mark.parametrize("key", KEYS)
def test_images_of_other_buckets_are_read_by_their_uris(buckets: tuple[Bucket, Bucket], key: str) -> None:
    raw_data, archive = buckets
    archive.write(key, b"content")
    uri = f"s3://archive/{key}"
    assert raw_data.read(uri) == raw_data.open(uri).read() == b"content"
    assert raw_data.exists(uri)
    assert not raw_data.exists(key)
    with raw_data.opened(uri) as opened:
        assert (opened.head.key, opened.head.size) == (uri, 7)
        assert opened.read() == b"content"
    [listed] = raw_data.list("s3://archive/digits/")
    [told] = archive.list("digits/")
    assert (listed.key, listed.etag, listed.size) == (uri, told.etag, 7)
    assert [stored.key for stored in raw_data.list("s3://archive/")] == [uri]
    assert list(raw_data.list("digits/")) == []
    assert "archive" in raw_data.presigned_url(uri, None, 60)


def test_a_bucket_that_the_stack_does_not_refer_to_any_more_is_told_with_the_parameter() -> None:
    client = boto3.client("s3", REGION, aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        for bucket in ("archive", "raw-data"):
            asked = {"Bucket": bucket, "Key": "a.png"}
            stub.add_client_error("get_object", "AccessDenied", expected_params=asked)
        raw_data = ImageObjects(client, "raw-data")
        with pytest.raises(AccessDenied, match=r"archive still among the stack's ReferredBuckets"):
            raw_data.read("s3://archive/a.png")
        with pytest.raises(AccessDenied) as denied:
            raw_data.read("a.png")
    assert "ReferredBuckets" not in denied.value.detail


def test_an_image_of_another_bucket_is_missing_if_it_or_its_bucket_is_gone(
    buckets: tuple[Bucket, Bucket],
) -> None:
    raw_data, _ = buckets
    for uri in ("s3://archive/a.png", "s3://nobodys-bucket/a.png"):
        assert not raw_data.exists(uri)
        assert list(raw_data.list(uri)) == []
        with pytest.raises(ObjectMissing, match=uri):
            raw_data.read(uri)
        with pytest.raises(ObjectMissing), raw_data.opened(uri):
            pass
