"""Images that stay in another bucket: what a dataset version says of them, and how trainings get them."""

import json
from typing import Any

import pytest

from loupe.domain.datasets.labels import AcceptLabels, concluded_images
from loupe.domain.datasets.test_split import as_labeled
from loupe.domain.datasets.versions import GONE
from loupe.domain.manifests import S3Uri
from loupe.domain.training.script_training import referred_channel
from loupe.ports.images import Look
from tests.unit.training.requests import assert_aws_takes
from tests.unit.training.world import NAMES, PROJECT, World


@pytest.fixture
def mixed(world: World) -> World:
    """Dataset version 0001 of images in both buckets, some of the same key, and an odd one in the archive."""
    names = [f"{number}.png" for number in range(20)]
    own = [world.upload(name) for name in names]
    other = [world.upload(f"{PROJECT}/{name}", elsewhere=True) for name in [*names, "odd//one.png"]]
    digests = [*own, *other]
    world.finish("digits-1", {digest: "ab"[at % 2] for at, digest in enumerate(digests)}, provider="import")
    assert world.build().version == "0001"
    return world


def sources(world: World, version: str = "0001") -> list[str]:
    splits = ("train", "validation", "test")
    return [row["source-ref"] for split in splits for row in world.rows(version, split)]


def listed(world: World, manifest: str) -> tuple[str, list[str]]:
    prefix, *keys = json.loads(world.workspace.read(manifest))
    return prefix["prefix"], sorted(keys)


def test_a_dataset_version_names_images_where_they_lie(mixed: World) -> None:
    assert sorted(sources(mixed)) == sorted(
        [f"s3://raw/{PROJECT}/{number}.png" for number in range(20)]
        + [f"s3://archive/{PROJECT}/{number}.png" for number in range(20)]
        + [f"s3://archive/{PROJECT}/odd//one.png"]
    )
    assert mixed.card("0001").left_out == {}


def test_an_image_that_is_gone_or_was_replaced_is_left_out(mixed: World) -> None:
    mixed.archive.delete(f"{PROJECT}/3.png")
    mixed.archive.write(f"{PROJECT}/4.png", b"another image")
    mixed.label("digits-2", "a", ["new.png"])
    assert mixed.build().version == "0002"
    assert mixed.card("0002").left_out == {GONE: 2}
    assert not {f"s3://archive/{PROJECT}/3.png", f"s3://archive/{PROJECT}/4.png"} & set(
        sources(mixed, "0002")
    )


def test_an_image_that_went_from_one_bucket_to_the_other_stays_the_same_image(mixed: World) -> None:
    key = f"s3://archive/{PROJECT}/5.png"
    content = mixed.archive.read(f"{PROJECT}/5.png")
    digest = mixed.upload("came.png", content=content)
    mixed.archive.delete(f"{PROJECT}/5.png")
    mixed.images.register(PROJECT, [Look(key, mixed.images.objects(PROJECT, [key])[key], None)])
    mixed.label("digits-2", "a", ["new.png"])
    assert mixed.build().version == "0002"
    assert mixed.split("0002")[digest] == mixed.split("0001")[digest]
    assert f"s3://raw/{PROJECT}/came.png" in sources(mixed, "0002")


def test_a_label_file_says_where_an_image_is_that_the_index_has_lost(mixed: World) -> None:
    job, emptied = "digits-1", World()
    del mixed.workspace.content[NAMES.labels(job)]
    accept = AcceptLabels(emptied.images, mixed.workspace, "raw", mixed.clock)
    accept(mixed.jobs.card(PROJECT, job))
    keys = {json.loads(line)["key"] for line in mixed.workspace.lines(NAMES.labels(job))}
    assert {f"{PROJECT}/1.png", f"s3://archive/{PROJECT}/1.png"} <= keys


def test_a_lost_index_gets_them_back(mixed: World) -> None:
    keys = {image.key for image in concluded_images(PROJECT, mixed.workspace)}
    assert {f"{PROJECT}/1.png", f"s3://archive/{PROJECT}/1.png"} <= keys


def channels(planned: dict[str, Any]) -> dict[str, str]:
    """The manifest or prefix of each channel, as a key of the workspace."""
    return {
        channel["ChannelName"]: S3Uri.parse(channel["DataSource"]["S3DataSource"]["S3Uri"]).key
        for channel in planned["InputDataConfig"]
    }


def test_a_training_job_takes_each_bucket_as_a_channel(mixed: World) -> None:
    plan = mixed.plan("0001")
    assert plan.training_job
    assert_aws_takes("sagemaker", "CreateTrainingJob", plan.training_job)
    found = channels(plan.training_job)
    own, other = found["images"], found[referred_channel("archive")]
    names = sorted(f"{PROJECT}/{number}.png" for number in range(20))
    assert listed(mixed, own) == ("s3://raw/", names)
    assert listed(mixed, other) == ("s3://archive/", names)
    prefix, copied = listed(mixed, found["copies"])
    [odd] = [
        row["image-sha256"]
        for split in ("train", "validation", "test")
        for row in mixed.rows("0001", split)
        if "odd" in row["source-ref"]
    ]
    assert (prefix, copied) == (f"s3://workspace/{NAMES.image_copies}", [odd])
    assert [stored.key for stored in mixed.workspace.list(NAMES.image_copies)] == [NAMES.image_copy(odd)]


def test_no_channel_is_empty(world: World) -> None:
    digests = [world.upload(f"{number}.png", elsewhere=True) for number in range(20)]
    world.finish("digits-1", {digest: "ab"[at % 2] for at, digest in enumerate(digests)}, provider="import")
    plan = world.plan(world.build().version or "")
    assert plan.training_job
    assert set(channels(plan.training_job)) == {"code", "dataset", referred_channel("archive")}


def test_built_in_algorithms_read_them_where_they_are_and_are_measured_by_copies(mixed: World) -> None:
    mixed.configure(training={"trainer": "builtin"})
    mixed.plan("0001")
    builtin = [json.loads(line) for line in mixed.workspace.lines(NAMES.builtin_manifest("0001", "train"))]
    assert {row["source-ref"] for row in builtin} == {
        row["source-ref"] for row in mixed.rows("0001", "train")
    }
    assert any(row["source-ref"].startswith("s3://archive/") for row in builtin)
    tested = {row["image-sha256"] for row in mixed.rows("0001", "test")}
    prefix, copied = listed(mixed, NAMES.test_images_manifest("0001"))
    assert (prefix, set(copied)) == (f"s3://workspace/{NAMES.image_copies}", tested)


def test_they_are_read_where_they_are_to_be_asked_about(mixed: World) -> None:
    rows = {row["source-ref"]: row for split in ("train", "test") for row in mixed.rows("0001", split)}
    [uri, *_] = [each for each in rows if each.startswith("s3://archive/")]
    key = uri.removeprefix("s3://archive/")
    assert as_labeled(mixed.raw, rows[uri]) == mixed.archive.read(key)
    mixed.archive.write(key, b"another image")
    assert as_labeled(mixed.raw, rows[uri]) is None
    mixed.archive.delete(key)
    assert as_labeled(mixed.raw, rows[uri]) is None
