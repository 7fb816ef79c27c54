"""`loupe trace`: from an image to the model that answers, and by which ids its log lines are found."""

import json
from typing import Any

import pytest

from cli.trace import insights_query
from loupe.domain.labeling.job_ends import JobEnd, write_end
from loupe.domain.labeling.starting import write_card
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.ingest.pictures import png
from tests.unit.training.world import FIRST, World, execution

PROJECT = "digits"
NAMES = Workspace(PROJECT)
JOB, LATER = "digits-20261121t101500-1a2b", "digits-20261122t101500-3c4d"
IMAGES = 20


class Labeled(World):
    """A project with two jobs, of which a turn covers both, seen through the command's stack."""

    def __init__(self, stack: FakeStack, loupe: Loupe) -> None:
        super().__init__()
        self.stack = stack
        stack.workspace = self.workspace
        loupe("project", "create", PROJECT, "--task", "image-classification", "--label", "a", "--label", "b")
        self.digests = [self.add(number) for number in range(IMAGES)]
        self.run(JOB, self.digests[:-1])
        self.run(LATER, self.digests[-1:])

    def add(self, number: int) -> str:
        content = png(seed=number)
        self.stack.objects[f"{PROJECT}/{number}.png"] = content
        return self.upload(f"{number}.png", content=content)

    def run(self, job: str, digests: list[str]) -> None:
        """Cut, answered, and finished."""
        write_card(
            self.workspace,
            JobCard(PROJECT, job, "portal", "image-classification", ("a", "b"), "", 100, self.clock()),
        )
        self.workspace.write_lines(NAMES.input_manifest(job), ("{}\n" for _ in digests))
        for digest in digests:
            self.workspace.write(NAMES.annotation(job, digest, "id-ann"), b"{}")
            self.stack.job_of[f"{PROJECT}/{self.digests.index(digest)}.png"] = job
        self.finish(job, {digest: "ab"[at % 2] for at, digest in enumerate(digests)})


@pytest.fixture
def world(stack: FakeStack, loupe: Loupe) -> Labeled:
    return Labeled(stack, loupe)


def traced(loupe: Loupe, what: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(loupe("trace", PROJECT, what, "--json", *options).stdout)
    return found


def steps(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(step["what"], step["correlation_id"]) for step in found["steps"]]


def test_an_image_from_its_registration_to_the_champion(loupe: Loupe, world: Labeled) -> None:
    assert world.turn() == "0001"
    digest = world.digests[0]
    image = f"image-{digest[:16]}"
    found = traced(loupe, "0.png")
    assert (found["kind"], found["ids"]) == ("image", [image, JOB, LATER])
    assert steps(found) == [
        ("registered", image),
        ("job cut", JOB),
        ("answers", JOB),
        ("job finished", JOB),
        ("label", JOB),
        ("dataset", LATER),
        ("model", LATER),
        ("champion", LATER),
    ]
    told = {step["what"]: step["told"] for step in found["steps"]}
    assert told["registered"] == "digits/0.png: labeled"
    assert told["job cut"] == "19 images, portal"
    assert told["answers"] == "1 answer of workers"
    assert told["label"] == "a"
    assert told["dataset"] == f"version 0001: {world.split('0001')[digest]}"
    assert told["model"] == "0001: promoted, good"
    assert told["champion"] == "model 0001 answers now"
    for other in ("digits/0.png", digest):
        assert traced(loupe, other)["steps"] == found["steps"]


def test_an_image_that_no_job_has_yet(loupe: Loupe, world: Labeled) -> None:
    digest = world.add(IMAGES)
    found = traced(loupe, digest)
    assert found["ids"] == [f"image-{digest[:16]}"]
    assert [step["told"] for step in found["steps"]] == [f"digits/{IMAGES}.png: pending"]


def test_a_job_whose_labels_no_version_has(loupe: Loupe, world: Labeled) -> None:
    found = traced(loupe, JOB)
    assert (found["kind"], found["ids"]) == ("job", [JOB])
    assert [step["what"] for step in found["steps"]] == ["job cut", "answers", "job finished"]


def test_a_job_and_its_turn(loupe: Loupe, world: Labeled) -> None:
    world.turn()
    found = traced(loupe, JOB)
    assert found["ids"] == [JOB, LATER]
    told = {step["what"]: step["told"] for step in found["steps"]}
    assert told["answers"] == "19 answers of workers"
    assert told["labels"] == "19 labels"
    assert told["dataset"].startswith("version 0001: 14 train, ")


def test_a_job_that_failed_says_why(loupe: Loupe, world: Labeled) -> None:
    failed = "digits-20261123t101500-5e6f"
    world.workspace.write_lines(NAMES.input_manifest(failed), ["{}\n"])
    write_end(world.workspace, PROJECT, failed, JobEnd("failed", "no work team", world.clock()))
    [step] = traced(loupe, failed)["steps"]
    assert (step["what"], step["told"]) == ("job failed", "no work team")


def test_a_model_and_a_prediction_of_it(loupe: Loupe, world: Labeled) -> None:
    world.turn()
    of_model = traced(loupe, "0001")
    assert (of_model["kind"], of_model["ids"]) == ("model", [LATER])
    prediction = f"{world.clock():%Y%m%dt%H%M%S}-0123456789abcdef"
    found = traced(loupe, prediction)
    assert (found["kind"], found["ids"]) == ("prediction", [prediction])
    assert steps(found) == [("prediction", LATER), *steps(of_model)]
    assert f'prediction_id = "{prediction}"' in found["query"]
    early = loupe("trace", PROJECT, "20200101t000000-0123456789abcdef", exit_code=1)
    assert "had no model yet" in early.stderr


def test_many_versions_are_not_all_shown(loupe: Loupe, world: Labeled) -> None:
    world.turn()
    for number in range(11):
        digest = world.add(IMAGES + number)
        world.digests.append(digest)
        world.run(f"digits-20261124t1015{number:02d}-5e6f", [digest])
        world.turn(execution(f"turn-{number}"))
    shown = [step["told"][:12] for step in traced(loupe, JOB)["steps"] if step["what"] == "dataset"]
    assert shown == ["version 0001", *(f"version {number:04d}" for number in range(4, 13))]


def test_what_nobody_knows_is_a_fault(loupe: Loupe, world: Labeled) -> None:
    for what in ("nothing.png", "f" * 64, "digits-20200101t000000-0000", "9999"):
        assert f"digits knows nothing of '{what}'" in loupe("trace", PROJECT, what, exit_code=1).stderr
    world.stack.unsound.add("digits/1.png")
    rejected = loupe("trace", PROJECT, "1.png", exit_code=1)
    assert "1.png was rejected: corrupt, its checksum is wrong" in rejected.stderr


def test_the_table_has_the_query_and_the_lines(loupe: Loupe, world: Labeled) -> None:
    line = {"timestamp": "2026-11-21 10:15:00,000+0000", "service": "start_labeling", "message": "job cut"}
    world.stack.lines = [line | {"correlation_id": JOB, "images": 19}, line | {"correlation_id": "other"}]
    told = loupe("trace", PROJECT, JOB, "--logs").stdout
    assert "19 images, portal" in told
    assert f'filter correlation_id in ["{JOB}"]' in told
    assert "start_labeling: job cut images=19\n" in told
    assert told.count("start_labeling") == 1
    assert traced(loupe, JOB, "--logs")["lines"] == world.stack.lines[:1]
    assert "`--logs` shows these lines" in loupe("trace", PROJECT, JOB).stdout


def test_the_query_asks_for_a_prediction_by_its_own_id() -> None:
    query = insights_query(["image-0123456789abcdef", JOB])
    assert f'filter correlation_id in ["image-0123456789abcdef", "{JOB}"] |' in query
    assert FIRST not in query
