"""A training job that did not complete: which kind of failure it was, and what follows."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from loupe.domain.training.job_failures import FailureKind, read_failure
from loupe.domain.training.plans import MAX_NAME, TrainingPlan
from loupe.domain.training.retries import MAX_ATTEMPTS, Retry, RetryTraining
from loupe.domain.training.turns import Result
from tests.unit.training.requests import assert_sagemaker_takes
from tests.unit.training.world import FIRST, NAMES, PROJECT, World

CAPACITY = "CapacityError: Unable to provision requested ML compute capacity."
BROKEN = "InternalServerError: We encountered an internal error. Please try again."


def caught(
    status: str = "Failed", secondary: str = "Failed", reason: str = "", *passed: str
) -> dict[str, str]:
    """What Step Functions caught of a job that ended so, after those secondary statuses."""
    job: dict[str, Any] = {"TrainingJobStatus": status, "SecondaryStatus": secondary}
    if reason:
        job["FailureReason"] = reason
    job["SecondaryStatusTransitions"] = [{"Status": name} for name in ("Starting", *passed, secondary)]
    return {"Error": "States.TaskFailed", "Cause": json.dumps(job)}


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (caught(reason="AlgorithmError: no training images for: dark, exit code: 1"), "input"),
        (caught(reason="AlgorithmError: , exit code: 137"), "input"),
        # What a program prints is not SageMaker's word.
        (caught(reason="AlgorithmError: insufficient capacity of my bucket, exit code: 1"), "input"),
        (caught(reason="ClientError: Data download failed: no such key"), "input"),
        (caught(reason=BROKEN), "service"),
        (caught(reason=CAPACITY), "capacity"),
        (caught(reason="InternalServerError: Insufficient capacity error from EC2"), "capacity"),
        (caught(reason="ClientError: insufficient capacity for ml.g5.xlarge"), "capacity"),
        (caught("Stopped", "MaxWaitTimeExceeded", "", "Training", "Interrupted"), "interrupted"),
        (caught("Stopped", "MaxWaitTimeExceeded", "", "Interrupted", "Stopping"), "interrupted"),
        (caught("Stopped", "Stopped", "", "Training", "Interrupted"), "interrupted"),
        (caught("Stopped", "Stopped", "", "Training", "Stopping"), "stopped"),
        (caught("Stopped", "MaxRuntimeExceeded", "", "Training", "Stopping"), "too_long"),
        (caught(reason=""), "other"),
        (caught(reason="SomethingNew: who knows"), "other"),
        ({"Error": "SageMaker.ResourceLimitExceededException", "Cause": "quota of ml.g5.xlarge"}, "other"),
        ({"Error": "SageMaker.AmazonSageMakerException", "Cause": "InternalServerError"}, "other"),
        ({"Error": "States.Timeout", "Cause": ""}, "other"),
        ({"Error": "States.TaskFailed", "Cause": '["a list"]'}, "other"),
    ],
)
def test_a_failure_is_told_apart_by_what_sagemaker_says(failure: dict[str, str], kind: FailureKind) -> None:
    assert read_failure(failure).kind == kind


def test_a_description_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = caught(reason=f'{BROKEN} "quoted"')
    cut = {**whole, "Cause": whole["Cause"][:-20]}
    assert read_failure(cut) == read_failure(whole)
    stopped = caught("Stopped", "Stopped", "", "Training", "Interrupted")
    # Nobody knows whether somebody asked for it: then it is not begun anew against his will.
    assert read_failure({**stopped, "Cause": stopped["Cause"][:-40]}).kind == "stopped"


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (caught(reason="AlgorithmError: no training images for: dark, exit code: 1"), "mend what it names"),
        (caught(reason="AlgorithmError: , exit code: 137"), "smaller batch-size"),
        (caught("Stopped", "MaxRuntimeExceeded", "", "Stopping"), "raise training.max_run_minutes"),
    ],
)
def test_a_failure_that_would_come_back_says_that_it_is_not_tried_again_and_what_to_do(
    failure: dict[str, str], advice: str
) -> None:
    told = read_failure(failure).in_words
    assert "not tried again" in told
    assert advice in told


# What follows ---------------------------------------------------------------------------------------


@pytest.fixture
def planned(world: World) -> World:
    """A turn that came as far as a plan for spot instances."""
    world.configure(training={"spot": "true", "max_run_minutes": "30", "max_wait_minutes": "60"})
    digests = {world.upload(f"1/{number}"): "ab"[number % 2] for number in range(20)}
    world.finish("digits-1", digests)
    world.plan(world.build().version or "")
    return world


def plan_of(world: World) -> TrainingPlan:
    return TrainingPlan.read(world.workspace, PROJECT, "0001")


def job_of(plan: TrainingPlan | None) -> dict[str, Any]:
    assert plan
    assert plan.training_job
    return plan.training_job


def fail(world: World, reason: str = BROKEN) -> Retry:
    """The job of the current attempt fails."""
    return after(world, caught(reason=reason))


def after(world: World, failure: dict[str, str], job: str | None = None) -> Retry:
    retry = RetryTraining(world.loops, world.workspace, world.clock, 300)
    return retry(PROJECT, "0001", job or job_of(plan_of(world))["TrainingJobName"], failure)


def test_a_failure_that_may_pass_gets_another_job_which_goes_on_from_the_same_checkpoints(
    planned: World,
) -> None:
    first = plan_of(planned)
    retry = fail(planned)
    assert (retry.again, retry.wait_seconds) == (True, 300)
    before, now = job_of(first), job_of(retry.plan)
    assert now == {**before, "TrainingJobName": f"{first.model_name}-2"}
    assert now["CheckpointConfig"] == {"S3Uri": "s3://workspace/projects/digits/models/0001/checkpoints"}
    assert_sagemaker_takes("CreateTrainingJob", now)
    assert retry.plan
    assert retry.plan.model_name == first.model_name
    assert retry.plan.release
    assert first.release
    assert retry.plan.release.model_data_url == first.release.model_data_url.replace(
        before["TrainingJobName"], now["TrainingJobName"]
    )
    assert retry.plan.registry == {**first.registry, "training_attempts": "2"}


@pytest.mark.parametrize(
    "failure", [caught(reason=CAPACITY), caught("Stopped", "MaxWaitTimeExceeded", "", "Interrupted")]
)
def test_where_spot_instances_were_wanting_the_next_attempt_is_on_demand(
    planned: World, failure: dict[str, str]
) -> None:
    now = job_of(after(planned, failure).plan)
    assert now["EnableManagedSpotTraining"] is False
    assert now["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800}
    assert now["CheckpointConfig"]
    assert_sagemaker_takes("CreateTrainingJob", now)
    # And so are those after it.
    assert job_of(fail(planned).plan)["EnableManagedSpotTraining"] is False


def test_attempts_wait_longer_each_time_and_come_to_an_end(planned: World) -> None:
    waits = []
    for _ in range(MAX_ATTEMPTS - 1):
        planned.clock.advance(minutes=10)
        waits.append(fail(planned).wait_seconds)
    last = fail(planned)
    assert waits == [300, 1200]
    assert not last.again
    assert last.reason.startswith(BROKEN)
    assert f"the last of {MAX_ATTEMPTS} attempts: attempt 1: {BROKEN}; attempt 2: {BROKEN}" in last.reason


@pytest.mark.parametrize(
    "failure",
    [
        caught(reason="AlgorithmError: no training images for: dark"),
        caught("Stopped", "Stopped", "", "Stopping"),
        {"Error": "SageMaker.ResourceLimitExceededException", "Cause": "quota"},
    ],
)
def test_a_failure_that_would_come_back_is_not_tried_again(planned: World, failure: dict[str, str]) -> None:
    before = plan_of(planned)
    retry = after(planned, failure)
    assert (retry.again, retry.plan) == (False, None)
    assert retry.reason == read_failure(failure).in_words
    assert plan_of(planned) == before


def test_asking_again_about_the_same_job_gives_the_same_answer(planned: World) -> None:
    job = job_of(plan_of(planned))["TrainingJobName"]
    first = fail(planned)
    planned.clock.advance(minutes=5)
    assert after(planned, caught(reason=BROKEN), job) == first
    assert [each.key for each in planned.workspace.list(f"{NAMES.model('0001')}failed-attempts/")] == [
        NAMES.failed_attempt("0001", 1)
    ]


def test_whoever_reads_the_plan_reads_that_of_the_attempt(planned: World) -> None:
    assert fail(planned).plan == plan_of(planned)
    assert planned.plan("0001") == plan_of(planned)  # the same execution plans again


def test_the_status_tells_of_the_attempt_that_failed(planned: World) -> None:
    fail(planned)
    last = planned.loops.loop(PROJECT).last_training
    assert last
    assert (last.status, last.failed_attempts) == ("running", (f"attempt 1: {BROKEN}",))
    assert last.reason == f"a model is being trained, after attempt 1: {BROKEN}"
    assert last.ended_at is None


def test_the_outcome_tells_of_the_attempts_that_failed(planned: World) -> None:
    started_at = planned.clock()
    fail(planned)
    planned.clock.advance(minutes=7)
    planned.conclude(Result(PROJECT, FIRST, "promoted", "0001", "good", 0.9, None, "arn:package"))
    outcome = json.loads(planned.workspace.read(NAMES.outcome("0001")))
    assert outcome["failed_attempts"] == [
        {
            "number": 1,
            "job": plan_of(planned).model_name,
            "kind": "service",
            "reason": BROKEN,
            "failed_at": started_at.isoformat(),
        }
    ]
    release = plan_of(planned).release
    assert release
    assert outcome["model_data_url"] == release.model_data_url
    last = planned.loops.loop(PROJECT).last_training
    assert last
    assert (last.reason, last.failed_attempts) == ("good", (f"attempt 1: {BROKEN}",))
    assert planned.clock() - started_at == timedelta(minutes=7)


def test_the_longest_name_has_room_for_each_attempt(world: World) -> None:
    world.setup = replace(world.setup, stack="a-stack-" + "x" * 120)
    world.finish("digits-1", {world.upload(f"1/{number}"): "ab"[number % 2] for number in range(20)})
    first = world.plan(world.build().version or "")
    names = {job_of(first)["TrainingJobName"]}
    for _ in range(MAX_ATTEMPTS - 1):
        names.add(job_of(fail(world).plan)["TrainingJobName"])
    assert len(names) == MAX_ATTEMPTS
    assert max(map(len, names)) == MAX_NAME
