"""From objects in the raw-data bucket to images and tasks, through the deployed stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.local.deployment import Deployment
from tests.local.flows import (
    A_LONG_WAIT,
    NO_TRAINING,
    Portal,
    finished_job,
    key_of,
    listening,
    look_at,
    new_project,
    object_created,
    open_job,
    output_manifest,
    pending,
    send_to_ingest,
    wait_for_empty_queue,
)
from tests.local.waiting import eventually
from tests.unit.ingest.pictures import black_png, encoded, jpeg, photo, png, png_of

LABELS = ["cat", "dog"]


def configure(deployment: Deployment, project: str, **labeling: Any) -> None:
    """A project that never trains; its images wait unless `labeling` says otherwise."""
    deployment.configure(project, LABELS, labeling=A_LONG_WAIT | labeling, training=NO_TRAINING)


def put(deployment: Deployment, key: str, content: bytes) -> None:
    """Put an object and wait until it is registered."""
    deployment.drop(key, content)
    look_at(deployment, key)


def tiny(number: int) -> bytes:
    """One of many small PNGs."""
    return png(24, 24, seed=number)


@pytest.fixture(scope="module")
def worker(deployment: Deployment) -> Portal:
    return Portal(deployment, "ingest-worker")


# Keys -----------------------------------------------------------------------------------------------

NAMES = [
    "two words and  more.png",
    "a+b.png",
    "100%.png",
    "%41%2B%2F.png",
    "\"double\" and 'single'.png",
    "back\\slash?query#part&amp;.png",
    "new\nline\tand tab.png",
    "🐈 Größe 猫.png",
    " leading and trailing ",
    "no-extension",
    "photos//of///2026/.x/..y.png",
]


def test_keys_of_all_kinds_are_registered_labeled_and_listed_exactly(
    deployment: Deployment, worker: Portal
) -> None:
    project = new_project("keys")
    longest = f"{project}/" + "/".join("äöü+ %" * 10 for _ in range(11))
    longest += "z" * (1024 - len(longest.encode()))
    keys = [*(f"{project}/{name}" for name in NAMES), longest]
    assert len(longest.encode()) == 1024
    contents = {key: tiny(number) for number, key in enumerate(keys)}
    configure(deployment, project, batch_size=len(keys))
    for key, content in contents.items():
        deployment.drop(key, content)
    open_job(deployment, project, len(keys))
    labels = {key: LABELS[number % 2] for number, key in enumerate(keys)}
    tasks = worker.lease(project, 20)
    assert {task["image"]["name"] for task in tasks} == set(keys)
    for task in tasks:
        key = task["image"]["name"]
        assert httpx.get(task["image"]["url"]).content == contents[key]
        assert worker.answer(project, task, label=labels[key]).status_code == 200
    rows = output_manifest(deployment, project, finished_job(deployment, project))
    found = {key_of(deployment, row): row["label-metadata"]["class-name"] for row in rows}
    assert found == labels


# Duplicates, replaced and deleted objects -----------------------------------------------------------


def test_the_same_image_under_two_keys_is_one_image_and_one_task(
    deployment: Deployment, worker: Portal
) -> None:
    project = new_project("twins")
    configure(deployment, project)
    for name in ("a.png", "folder/b.jpg"):
        deployment.drop(f"{project}/{name}", tiny(1))
    put(deployment, f"{project}/other.png", tiny(2))
    look_at(deployment, f"{project}/a.png", f"{project}/folder/b.jpg")
    assert deployment.stack.status(project)["images"]["pending"] == 2
    configure(deployment, project, batch_size=2)
    open_job(deployment, project, 2)
    names = {task["image"]["name"] for task in worker.lease(project, 20)}
    assert names in (
        {f"{project}/other.png", f"{project}/a.png"},
        {f"{project}/other.png", f"{project}/folder/b.jpg"},
    )


def test_an_object_replaced_while_it_waits_is_the_new_image(deployment: Deployment, worker: Portal) -> None:
    project = new_project("replaced")
    key = f"{project}/a.png"
    configure(deployment, project)
    put(deployment, key, tiny(1))
    put(deployment, key, tiny(2))
    assert deployment.stack.status(project)["images"]["pending"] == 1
    configure(deployment, project, batch_size=1)
    open_job(deployment, project, 1)
    [task] = worker.lease(project, 20)
    assert httpx.get(task["image"]["url"]).content == tiny(2)


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_worker_sees_the_registered_bytes_of_an_object_changed_while_its_job_is_open(
    change: str, deployment: Deployment, worker: Portal
) -> None:
    project = new_project(change)
    key = f"{project}/a.png"
    configure(deployment, project, batch_size=1)
    deployment.drop(key, tiny(1))
    open_job(deployment, project, 1)
    if change == "replaced":
        put(deployment, key, tiny(2))
    else:
        deployment.client("s3").delete_object(Bucket=deployment.outputs["RawDataBucket"], Key=key)
        look_at(deployment, key)
    [task] = worker.lease(project, 20)
    assert httpx.get(task["image"]["url"]).content == tiny(1)
    images = deployment.stack.status(project)["images"]
    assert (images["labeling"], images["pending"]) == (1, 1 if change == "replaced" else 0)


def test_an_object_deleted_while_it_waits_becomes_no_task(deployment: Deployment, worker: Portal) -> None:
    project = new_project("deleted")
    configure(deployment, project)
    for number in (1, 2):
        deployment.drop(f"{project}/{number}.png", tiny(number))
    deployment.wait_for(project, pending(2), 60)
    raw_data = deployment.outputs["RawDataBucket"]
    deployment.client("s3").delete_object(Bucket=raw_data, Key=f"{project}/1.png")
    deployment.wait_for(project, pending(1), 60)
    configure(deployment, project, batch_size=1)
    open_job(deployment, project, 1)
    assert [task["image"]["name"] for task in worker.lease(project, 20)] == [f"{project}/2.png"]


# What is an image and what is not -------------------------------------------------------------------


def loupe(deployment: Deployment, *arguments: str) -> str:
    """What the command prints."""
    command = [str(Path(sys.executable).with_name("loupe")), *arguments]
    environment = deployment.cloud.environment
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_is_no_image_is_rejected_with_its_reason_and_odd_images_are_not(deployment: Deployment) -> None:
    project = new_project("mixed")
    whole = jpeg(640, 480)
    bomb = black_png(20_000, 10_000)
    assert len(bomb) < 700_000
    bad = {
        "x.jpg": (b"these are words\n", "not-an-image"),
        "empty.png": (b"", "empty-file"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "bomb.png": (bomb, "too-many-pixels"),
    }
    sixteen_bits = np.arange(32 * 32 * 3, dtype=">u2").reshape(32, 96) * 20
    lines = b"".join(b"\0" + line.tobytes() for line in sixteen_bits)
    frames = [photo(32, 32, seed) for seed in (1, 2, 3)]
    good = {
        "cmyk.jpg": encoded(photo(64, 48).convert("CMYK"), "JPEG"),
        "animated.png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "deep.png": png_of(32, 32, lines, depth=16),
    }
    configure(deployment, project)
    for name, (content, _) in bad.items():
        deployment.drop(f"{project}/{name}", content)
    for name, content in good.items():
        deployment.drop(f"{project}/{name}", content)
    expected = {"pending": len(good), "labeling": 0, "labeled": 0, "rejected": len(bad)}
    deployment.wait_for(project, lambda status: status["images"] == expected, 60)
    reasons = {f"{project}/{name}": reason for name, (_, reason) in bad.items()}
    answer = deployment.request("GET", f"/v1/projects/{project}/rejected").json()
    assert {record["key"]: record["reason"] for record in answer["rejected"]} == reasons
    assert all(record["detail"] for record in answer["rejected"])
    listed = map(json.loads, loupe(deployment, "status", project, "--rejected", "--json").splitlines())
    assert {record["key"]: record["reason"] for record in listed} == reasons


# Events ---------------------------------------------------------------------------------------------


def test_events_that_come_twice_and_in_another_order_come_to_the_same(
    deployment: Deployment, worker: Portal
) -> None:
    project = new_project("twice")
    configure(deployment, project)
    pattern = {"source": ["aws.s3"], "detail": {"object": {"key": [{"prefix": f"{project}/"}]}}}
    s3, raw_data = deployment.client("s3"), deployment.outputs["RawDataBucket"]
    with listening(deployment, pattern) as listener:
        for number in range(6):
            deployment.drop(f"{project}/{number}.png", tiny(number))
        deployment.drop(f"{project}/twin.png", tiny(0))
        deployment.drop(f"{project}/bad.png", b"no image")
        deployment.drop(f"{project}/1.png", tiny(10))
        s3.delete_object(Bucket=raw_data, Key=f"{project}/2.png")
        s3.delete_object(Bucket=raw_data, Key=f"{project}/3.png")
        deployment.drop(f"{project}/3.png", tiny(3))
        events = listener.wait_for(12)
    expected = {"pending": 5, "labeling": 0, "labeled": 0, "rejected": 1}
    deployment.wait_for(project, lambda status: status["images"] == expected, 60)
    send_to_ingest(deployment, [*events[::-1], *events[::2], *events[1::2]])
    wait_for_empty_queue(deployment)
    assert deployment.stack.status(project)["images"] == expected
    configure(deployment, project, batch_size=5)
    open_job(deployment, project, 5)
    shown = {httpx.get(task["image"]["url"]).content for task in worker.lease(project, 20)}
    assert shown == {tiny(number) for number in (0, 10, 3, 4, 5)}


def test_one_bad_record_in_a_batch_of_100_goes_to_the_dead_letters_with_its_reason(
    deployment: Deployment,
) -> None:
    project = new_project("hundred")
    marker = f"{project}: this message names no object"
    configure(deployment, project)
    keys = [f"{project}/{number:02}.png" for number in range(99)]
    bodies = [json.dumps(object_created(deployment, key)) for key in keys]
    bodies.insert(50, json.dumps({"detail": {"object": {"name": marker}}}))
    s3, raw_data = deployment.client("s3"), deployment.outputs["RawDataBucket"]
    for number, key in enumerate(keys):
        s3.put_object(Bucket=raw_data, Key=key, Body=tiny(number))
    send_to_ingest(deployment, bodies)
    deployment.wait_for(project, pending(99), 60)
    [letter] = eventually(lambda: dead_letters(deployment, marker), "a dead letter")
    reason = letter["MessageAttributes"]["reason"]["StringValue"]
    assert reason == "not an S3 event: detail.object.key Field required"


def dead_letters(deployment: Deployment, about: str) -> list[dict[str, Any]]:
    """Messages of the ingest dead-letter queue that contain `about`."""
    found, sqs = [], deployment.client("sqs")
    while messages := sqs.receive_message(
        QueueUrl=deployment.outputs["IngestDeadLetterQueueUrl"],
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
    ).get("Messages", []):
        found += [message for message in messages if about in message["Body"]]
    return found


# Configuration --------------------------------------------------------------------------------------


def test_images_wait_for_a_valid_configuration_and_then_go_on(deployment: Deployment, worker: Portal) -> None:
    project = new_project("unconfigured")
    put(deployment, f"{project}/1.png", tiny(1))
    status = deployment.stack.status(project)
    assert status["images"]["pending"] == 1
    assert status["config_error"] == "there is no project.yaml in the project's folder"
    deployment.stack.write_configuration(project, "task: image-classification\nlabels: [cat]\nlables: x\n")
    look_at(deployment, f"{project}/project.yaml")
    status = deployment.stack.status(project)
    assert "lables: is not a field that Loupe knows" in str(status["config_error"])
    assert status["images"]["pending"] == 1
    assert status["jobs"] == []
    configure(deployment, project, batch_size=1)
    open_job(deployment, project, 1)
    assert deployment.stack.status(project)["config_error"] is None
    [task] = worker.lease(project, 20)
    assert task["image"]["name"] == f"{project}/1.png"
