"""Candidates that wait for a person, and earlier models that come back."""

import json
from dataclasses import replace
from typing import Literal

import pytest

from loupe.domain.errors import BadRequest, Conflict
from loupe.domain.events import ApprovalWanted, ModelPromoted, ModelRejected, ReleaseFailed, ReleaseRequested
from loupe.domain.manifests import S3Uri
from loupe.domain.serving.releases import (
    REGISTRY,
    NoteApproval,
    UnknownModel,
    approval_of,
    choices,
    failed_releases,
    states,
)
from loupe.domain.training.loop_restoration import RestoreLoop
from loupe.domain.training.plans import TrainingPlan, model_versions
from loupe.domain.training.turns import Result, outcome_of
from loupe.ports.loops import Pause
from tests.fakes.loops import FakeLoops
from tests.unit.training.world import FIRST, NAMES, PROJECT, World, execution

APPROVAL = {"require": "approval"}
ENDS: dict[str, Literal["promoted", "awaiting_approval", "rejected"]] = {
    "go": "promoted",
    "wait": "awaiting_approval",
    "drop": "rejected",
}
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/loupe-digits/{}"


def train(world: World, score: float, champion: float | None = None, by: str = FIRST) -> str:
    """A turn that came as far as the decision; returns the model's version."""
    number = sum(1 for _ in world.versions()) + 1
    names = range(20 if number == 1 else 1)
    world.finish(f"digits-{number}", {world.upload(f"{number}/{at}"): "ab"[at % 2] for at in names})
    plan = world.plan(world.build(by).version or "", by)
    found = {
        "dataset_version": plan.dataset_version,
        "test_images": 120,
        "candidate": {"score": score},
        "champion": None if champion is None else {"score": champion},
    }
    world.write_output(plan, {"evaluation.json": json.dumps(found).encode()})
    assert plan.release
    world.workspace.write(S3Uri.parse(plan.release.model_data_url).key, b"a model")
    world.evaluate(plan.version)
    world.executions.running.add(by)
    return plan.version


def end(world: World, version: str, by: str = FIRST) -> str:
    """What the state machine does with a candidate that was better; returns what begin_release said."""
    world.clock.advance(minutes=1)
    begun = world.begin.of_turn(PROJECT, version, by)
    if begun.outcome in ENDS:
        outcome = ENDS[begun.outcome]
        package = PACKAGE.format(version)
        world.conclude(Result(PROJECT, by, outcome, version, begun.reason, 0.9, 0.8, package))
        world.executions.running.discard(by)
    return begun.outcome


def turn(world: World, score: float, champion: float | None = None, by: str = FIRST) -> str:
    version = train(world, score, champion, by)
    end(world, version, by)
    return version


def requested(world: World) -> ReleaseRequested:
    return [each for each in world.events.published if isinstance(each, ReleaseRequested)][-1]


def run(world: World, *, fails: bool = False, by: str = execution("release")) -> str:
    """The execution that the newest request starts; returns what begin_release said."""
    asked = requested(world)
    world.clock.advance(minutes=1)
    begun = world.begin.of_request(PROJECT, asked.version, by, asked.request)
    if begun.outcome == "go":
        failure = {"Error": "SmokeTestFailed", "Cause": "wrong labels"} if fails else None
        world.conclude_release(
            asked.request,
            Result(
                PROJECT, by, "failed" if fails else "promoted", asked.version, begun.reason, failure=failure
            ),
        )
    return begun.outcome


def champion(world: World) -> str | None:
    found = world.loops.loop(PROJECT).champion
    return found.version if found else None


@pytest.fixture
def waiting(world: World) -> World:
    """0001 answers, and 0002 waits for approval."""
    turn(world, 0.8)
    world.configure(promotion=APPROVAL)
    turn(world, 0.9, 0.8, execution("second"))
    return world


def test_a_better_candidate_waits_and_holds_no_lock(waiting: World) -> None:
    loop = waiting.loops.loop(PROJECT)
    assert champion(waiting) == "0001"
    assert (loop.training, loop.release) == (None, None)
    assert loop.last_training
    assert loop.last_training.status == "awaiting_approval"
    assert isinstance(waiting.events.published[-1], ApprovalWanted)
    assert "`loupe model approve digits 0002` releases it" in loop.last_training.reason
    assert waiting.build(execution("third")).outcome == "nothing_new"


def test_an_approved_candidate_is_released_by_an_execution_of_its_own(waiting: World) -> None:
    assert waiting.decide("approve", "0002").state == "requested"
    assert champion(waiting) == "0001"
    assert waiting.packages.approvals == {PACKAGE.format("0002"): ("Approved", "ann approved it")}
    assert run(waiting) == "go"
    loop = waiting.loops.loop(PROJECT)
    assert champion(waiting) == "0002"
    assert loop.last_training
    assert loop.last_training.status == "promoted"
    assert (loop.wanted, loop.release, loop.paused) == (None, None, None)
    assert isinstance(waiting.events.published[-1], ModelPromoted)


def test_approving_twice_changes_nothing(waiting: World) -> None:
    waiting.decide("approve", "0002")
    first = requested(waiting)
    waiting.decide("approve", "0002", by="bob")
    assert requested(waiting).request == first.request
    assert run(waiting) == "go"
    assert run(waiting) == "off"
    assert waiting.decide("approve", "0002").state == "in_service"
    assert json.loads(waiting.workspace.read(NAMES.approval("0002")))["by"] == "ann"


def test_the_first_word_counts(waiting: World) -> None:
    waiting.decide("reject", "0002")
    assert waiting.packages.approvals == {PACKAGE.format("0002"): ("Rejected", "ann rejected it")}
    assert waiting.decide("reject", "0002", by="bob").told == "ann rejected it"
    assert [type(each) for each in waiting.events.published].count(ModelRejected) == 1
    with pytest.raises(Conflict, match="ann rejected it at"):
        waiting.decide("approve", "0002")
    last = waiting.loops.loop(PROJECT).last_training
    assert last
    assert (last.status, last.reason) == ("rejected", "ann rejected it")


def test_a_candidate_is_approved_for_what_it_was_compared_with(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    run(waiting)
    with pytest.raises(Conflict, match="compared with 0001, and 0003 answers now"):
        waiting.decide("approve", "0002")
    assert not waiting.workspace.exists(NAMES.approval("0002"))


def test_one_release_after_the_other_is_approved(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    with pytest.raises(Conflict, match="release of model 0003 that ann asked for is not done yet"):
        waiting.decide("approve", "0002")
    assert not waiting.workspace.exists(NAMES.approval("0002"))
    run(waiting, fails=True)
    waiting.decide("approve", "0002")
    assert run(waiting) == "go"


def test_an_approval_that_a_rollback_overtakes_fails_and_says_why(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    third = requested(waiting)
    waiting.decide("rollback", "0002")
    with pytest.raises(Conflict, match="something else was asked for"):
        waiting.begin.of_request(PROJECT, "0003", FIRST, third.request)
    failure = {"Error": "Conflict", "Cause": "something else was asked for"}
    waiting.conclude_release(third.request, Result(PROJECT, FIRST, "failed", "0003", failure=failure))
    failed = waiting.events.published[-1]
    assert isinstance(failed, ReleaseFailed)
    assert (failed.version, failed.kind) == ("0003", "approval")
    assert waiting.begin.of_request(PROJECT, "0003", FIRST, third.request).outcome == "off"
    assert run(waiting) == "go"
    assert champion(waiting) == "0002"


def test_after_an_approval_whose_release_failed_nobody_is_waited_for(waiting: World) -> None:
    waiting.decide("approve", "0002")
    run(waiting, fails=True)
    failed = waiting.events.published[-1]
    assert isinstance(failed, ReleaseFailed)
    assert failed.kind == "approval"
    last = waiting.loops.loop(PROJECT).last_training
    assert last
    told = "wrong labels; `loupe model approve digits 0002` tries again"
    assert (last.status, last.reason) == ("release_failed", told)
    waiting.decide("approve", "0002")
    run(waiting)
    last = waiting.loops.loop(PROJECT).last_training
    assert last
    assert last.status == "promoted"


def test_a_candidate_of_another_task_is_approved_though_it_was_not_compared(waiting: World) -> None:
    known = waiting.loops.loop(PROJECT).champion
    assert known
    other = replace(known, model=replace(known.model, task="bounding-box"))
    waiting.loops.save_champion(PROJECT, other)
    turn(waiting, 0.9, None, execution("third"))
    assert json.loads(waiting.workspace.read(NAMES.decision("0003")))["champion"] is None
    waiting.decide("approve", "0003")
    assert run(waiting) == "go"
    assert champion(waiting) == "0003"


def hosted_by_rekognition(world: World, version: str) -> None:
    plan = json.loads(world.workspace.read(NAMES.plan(version)))
    world.workspace.write(NAMES.plan(version), json.dumps(plan | {"release": None}).encode())


def test_a_candidate_that_rekognition_hosts_can_neither_be_approved_nor_wait(waiting: World) -> None:
    hosted_by_rekognition(waiting, "0002")
    with pytest.raises(Conflict, match="hosted by Rekognition"):
        waiting.decide("approve", "0002")
    assert not waiting.workspace.exists(NAMES.approval("0002"))
    third = train(waiting, 0.95, 0.8, execution("third"))
    hosted_by_rekognition(waiting, third)
    assert end(waiting, third, execution("third")) == "drop"
    last = waiting.loops.loop(PROJECT).last_training
    assert last
    assert "only models that SageMaker hosts can wait for approval" in last.reason


def test_a_release_that_rekognition_would_have_to_host_fails_and_is_forgotten(waiting: World) -> None:
    waiting.decide("approve", "0002")
    hosted_by_rekognition(waiting, "0002")
    asked = requested(waiting)
    with pytest.raises(Conflict, match="hosted by Rekognition"):
        waiting.begin.of_request(PROJECT, "0002", FIRST, asked.request)
    failure = {"Error": "Conflict", "Cause": "hosted by Rekognition"}
    waiting.conclude_release(asked.request, Result(PROJECT, FIRST, "failed", "0002", failure=failure))
    loop = waiting.loops.loop(PROJECT)
    assert (loop.wanted, loop.release) == (None, None)
    assert isinstance(waiting.events.published[-1], ReleaseFailed)


def test_only_what_waits_can_be_approved_or_rejected(waiting: World) -> None:
    for action in ("approve", "reject"):
        with pytest.raises(UnknownModel, match="0009"):
            waiting.decide(action, "0009")
    with pytest.raises(Conflict, match="was promoted when it was trained"):
        waiting.decide("reject", "0001")
    for action, version in (("promote", "0002"), ("approve", None), ("resume", "0002")):
        with pytest.raises(BadRequest, match="approve and reject"):
            waiting.decide(action, version)


# The registry ---------------------------------------------------------------------------------------


def note(world: World, version: str, status: str, *, package: str | None = None, is_new: bool = False) -> str:
    noted = NoteApproval(world.decides)
    return noted(PROJECT, version, package or PACKAGE.format(version), status, is_new)


def test_an_approval_in_the_registry_is_one(waiting: World) -> None:
    note(waiting, "0002", "Approved")
    assert requested(waiting).by == REGISTRY
    assert run(waiting) == "go"
    assert champion(waiting) == "0002"


def test_a_rejection_in_the_registry_is_one(waiting: World) -> None:
    assert note(waiting, "0002", "Rejected") == "the model registry rejected it"
    with pytest.raises(Conflict):
        waiting.decide("approve", "0002")


def test_the_echo_of_what_was_said_here_asks_for_nothing_more(waiting: World) -> None:
    waiting.decide("approve", "0002")
    told = len(waiting.events.published)
    note(waiting, "0002", "Approved")
    run(waiting)
    note(waiting, "0002", "Approved")
    assert len(waiting.events.published) == told + 1


def test_a_late_word_of_the_registry_undoes_no_rollback(waiting: World) -> None:
    note(waiting, "0002", "Approved")
    run(waiting)
    waiting.decide("rollback", "0001")
    run(waiting)
    assert note(waiting, "0002", "Approved") == "it was approved before"
    assert waiting.loops.loop(PROJECT).wanted is None
    assert waiting.packages.approvals[PACKAGE.format("0002")][0] == "Approved"
    assert champion(waiting) == "0001"


def test_a_word_of_the_registry_that_comes_again_repeats_no_release_that_failed(waiting: World) -> None:
    note(waiting, "0002", "Approved")
    run(waiting, fails=True)
    note(waiting, "0002", "Approved")
    assert waiting.loops.loop(PROJECT).wanted is None
    assert waiting.decide("approve", "0002").state == "requested"  # a person may try again
    assert run(waiting) == "go"


def test_an_approval_that_cannot_be_followed_is_taken_back_in_the_registry(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    run(waiting)
    note(waiting, "0002", "Approved")
    status, reason = waiting.packages.approvals[PACKAGE.format("0002")]
    assert status == "Rejected"
    assert "compared with 0001" in reason
    assert champion(waiting) == "0003"


def test_an_approval_in_the_registry_during_another_release_waits_again(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    note(waiting, "0002", "Approved")
    status, reason = waiting.packages.approvals[PACKAGE.format("0002")]
    assert status == "PendingManualApproval"
    assert "release of model 0003" in reason
    assert requested(waiting).version == "0003"


def test_what_the_registry_tells_of_a_turn_itself_is_left_alone(waiting: World) -> None:
    version = train(waiting, 0.95, 0.8, execution("third"))
    assert note(waiting, version, "Approved", is_new=True) == "its turn is not concluded"
    with pytest.raises(UnknownModel):
        note(waiting, version, "Approved")
    assert note(waiting, "0001", "Approved") == "it was promoted when it was trained"
    assert note(waiting, "0001", "Rejected") == "it was promoted when it was trained"
    assert "not the package" in note(waiting, "0002", "Approved", package="arn:other")
    assert waiting.packages.approvals == {}


# Rollback -------------------------------------------------------------------------------------------


@pytest.fixture
def twice(world: World) -> World:
    """0002 answers, and before it 0001 did."""
    turn(world, 0.8)
    turn(world, 0.9, 0.8, execution("second"))
    return world


def test_a_rollback_brings_the_model_before_and_stops_promotion(twice: World) -> None:
    assert twice.decide("rollback").version == "0001"
    paused = twice.loops.loop(PROJECT).paused
    assert paused == Pause(paused.since if paused else twice.clock(), "ann", "rollback to 0001")
    assert run(twice) == "go"
    assert champion(twice) == "0001"
    turn(twice, 0.99, 0.8, execution("third"))
    assert champion(twice) == "0001"
    last = twice.loops.loop(PROJECT).last_training
    assert last
    assert last.status == "awaiting_approval"
    assert "automatic promotion is stopped since ann's rollback to 0001" in last.reason
    twice.decide("approve", "0003")
    run(twice)
    assert champion(twice) == "0003"


def test_after_resuming_better_candidates_are_promoted_again(twice: World) -> None:
    twice.decide("rollback")
    run(twice)
    assert twice.decide("resume").state == "resumed"
    assert twice.decide("resume").state == "resumed"
    turn(twice, 0.99, 0.8, execution("third"))
    assert champion(twice) == "0003"


def test_a_rollback_that_fails_leaves_the_champion_and_promotion_stopped(twice: World) -> None:
    twice.decide("rollback", "0001")
    run(twice, fails=True)
    loop = twice.loops.loop(PROJECT)
    assert champion(twice) == "0002"
    assert (loop.wanted, loop.release) == (None, None)
    assert loop.paused
    failed = twice.events.published[-1]
    assert isinstance(failed, ReleaseFailed)
    assert failed.reason == "wrong labels"


def test_a_turn_whose_better_candidate_was_not_released_failed_by_its_release_alone(world: World) -> None:
    version = train(world, 0.8)
    assert world.begin.of_turn(PROJECT, version, FIRST).outcome == "go"
    failure = {"Error": "SmokeTestFailed", "Cause": "wrong labels"}
    world.conclude(Result(PROJECT, FIRST, "failed", version, "", 0.8, None, failure=failure))
    last = world.loops.loop(PROJECT).last_training
    assert last
    assert (last.status, last.reason) == (
        "release_failed",
        "wrong labels; the next finished job tries again",
    )


def test_a_rollback_that_is_said_again_when_it_is_done_changes_nothing(twice: World) -> None:
    twice.decide("rollback", "0001")
    run(twice)
    published = len(twice.events.published)
    assert twice.decide("rollback", "0001", by="bob").state == "in_service"
    loop = twice.loops.loop(PROJECT)
    assert (loop.wanted, len(twice.events.published)) == (None, published)
    assert loop.paused
    assert loop.paused.by == "ann"


def open_choices(world: World) -> dict[str, tuple[str, ...]]:
    """What a person can decide of each model."""
    loop, failed = world.loops.loop(PROJECT), failed_releases(PROJECT, world.workspace)
    found: dict[str, tuple[str, ...]] = {}
    for version in model_versions(PROJECT, world.workspace):
        plan, outcome = (
            TrainingPlan.read(world.workspace, PROJECT, version),
            outcome_of(PROJECT, version, world.workspace),
        )
        approval = approval_of(PROJECT, version, world.workspace)
        if outcome and approval:
            outcome["outcome"] = approval.decision
        found[version] = choices(plan, outcome, loop, has_failed_release=version in failed)
    return found


def test_a_candidate_that_waits_is_approved_or_rejected_and_a_model_before_it_brought_back(
    waiting: World,
) -> None:
    assert open_choices(waiting) == {"0001": (), "0002": ("approve", "reject")}
    waiting.decide("approve", "0002")
    assert open_choices(waiting) == {"0001": (), "0002": ()}
    run(waiting, fails=True)
    assert open_choices(waiting) == {"0001": (), "0002": ("approve",)}
    waiting.decide("approve", "0002")
    run(waiting)
    assert open_choices(waiting) == {"0001": ("rollback",), "0002": ()}
    waiting.decide("rollback", "0001")
    assert open_choices(waiting) == {"0001": (), "0002": ()}
    run(waiting)
    assert open_choices(waiting) == {"0001": (), "0002": ("rollback",)}


def test_a_candidate_that_no_approval_could_release_is_rejected_or_rolled_back_to(waiting: World) -> None:
    turn(waiting, 0.95, 0.8, execution("third"))
    waiting.decide("approve", "0003")
    assert open_choices(waiting)["0002"] == ("reject", "rollback")
    run(waiting)
    assert open_choices(waiting) == {"0001": ("rollback",), "0002": ("reject", "rollback"), "0003": ()}
    with pytest.raises(Conflict, match="compared with 0001, and 0003 answers now"):
        waiting.decide("approve", "0002")
    waiting.decide("reject", "0002")
    assert open_choices(waiting)["0002"] == ("rollback",)
    waiting.decide("rollback", "0002")
    run(waiting)
    assert champion(waiting) == "0002"


def test_of_a_model_that_failed_or_that_rekognition_hosts_nothing_is_decided(twice: World) -> None:
    failed = train(twice, 0.7, 0.9, execution("fourth"))
    assert open_choices(twice)[failed] == ()
    twice.conclude(Result(PROJECT, execution("fourth"), "failed", failed, "no disk"))
    assert open_choices(twice)[failed] == ()
    assert open_choices(twice)["0001"] == ("rollback",)
    hosted_by_rekognition(twice, "0001")
    assert open_choices(twice)["0001"] == ()


def test_a_rejected_model_can_be_brought_back_but_not_one_that_never_was(twice: World) -> None:
    version = train(twice, 0.7, 0.9, execution("third"))
    twice.conclude(Result(PROJECT, execution("third"), "rejected", version, "worse", 0.7, 0.9, "arn:p"))
    twice.decide("rollback", version)
    run(twice)
    assert champion(twice) == version
    failed = train(twice, 0.7, 0.9, execution("fourth"))
    twice.conclude(Result(PROJECT, execution("fourth"), "failed", failed, "no disk"))
    twice.decide("resume")
    for wrong, words in ((failed, "never trained to the end: no disk"), (version, "is the one that answers")):
        with pytest.raises(Conflict, match=words):
            twice.decide("rollback", wrong)


def test_a_model_whose_file_is_gone_cannot_come_back(twice: World) -> None:
    release = TrainingPlan.read(twice.workspace, PROJECT, "0001").release
    assert release
    twice.workspace.delete(S3Uri.parse(release.model_data_url).key)
    with pytest.raises(Conflict, match="is not stored any more"):
        twice.decide("rollback")
    assert twice.loops.loop(PROJECT).paused is None


def test_a_rollback_that_is_said_twice_does_not_go_forward_again(twice: World) -> None:
    twice.decide("rollback")
    with pytest.raises(Conflict, match="ann's rollback to 0001 holds: name the version"):
        twice.decide("rollback")
    run(twice)
    with pytest.raises(Conflict, match="name the version"):
        twice.decide("rollback")
    assert champion(twice) == "0001"


def test_without_an_earlier_model_a_version_has_to_be_named(world: World) -> None:
    turn(world, 0.8)
    with pytest.raises(UnknownModel, match="name a version"):
        world.decide("rollback")


def test_a_rollback_while_a_model_is_trained_keeps_that_from_being_promoted(twice: World) -> None:
    version = train(twice, 0.99, 0.9, execution("third"))
    twice.decide("rollback")
    assert run(twice) == "go"  # it does not wait for the training
    twice.decide("resume")
    assert end(twice, version, execution("third")) == "drop"
    loop = twice.loops.loop(PROJECT)
    assert loop.last_training
    assert loop.last_training.status == "rejected"
    assert "compared with 0002, and 0001 answers now" in loop.last_training.reason
    assert "`loupe model rollback digits 0003` releases it all the same" in loop.last_training.reason
    assert (loop.training, loop.release) == (None, None)
    with pytest.raises(Conflict, match="does not wait for approval, it was rejected"):
        twice.decide("approve", version)
    twice.decide("rollback", version)
    run(twice)
    assert champion(twice) == version


def test_what_no_approval_could_release_does_not_wait_for_one(twice: World) -> None:
    version = train(twice, 0.99, 0.9, execution("third"))
    twice.decide("rollback")
    run(twice)
    assert end(twice, version, execution("third")) == "drop"  # while promotion is stopped, too


def test_two_that_change_the_endpoint_wait_for_each_other(twice: World) -> None:
    version = train(twice, 0.99, 0.9, execution("third"))
    assert twice.begin.of_turn(PROJECT, version, execution("third")).outcome == "go"
    twice.decide("rollback", "0001")
    assert run(twice) == "busy"
    twice.executions.running.discard(execution("third"))  # it was lost
    assert run(twice) == "go"


def test_a_conclusion_that_comes_again_after_a_rollback_changes_no_champion(twice: World) -> None:
    twice.decide("rollback")
    run(twice)
    twice.conclude(Result(PROJECT, execution("second"), "promoted", "0002", "good", 0.9, 0.8, "arn:p"))
    assert champion(twice) == "0001"


# A lost index ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumes", [False, True])
def test_rollbacks_and_pauses_are_restored(twice: World, resumes: bool) -> None:
    twice.decide("rollback")
    run(twice)
    if resumes:
        twice.clock.advance(minutes=1)
        twice.decide("resume")
    before = twice.loops.loop(PROJECT)
    twice.loops = FakeLoops()
    restore = RestoreLoop(twice.loops, twice.executions, twice.workspace)
    assert restore(PROJECT)
    assert not restore(PROJECT)
    assert twice.loops.loop(PROJECT) == before


def test_promotion_goes_on_though_the_index_lost_that_it_was_stopped(twice: World) -> None:
    twice.decide("rollback")
    twice.loops = FakeLoops()
    twice.clock.advance(minutes=1)
    twice.decide("resume")
    RestoreLoop(twice.loops, twice.executions, twice.workspace)(PROJECT)
    assert twice.loops.loop(PROJECT).paused is None


@pytest.mark.parametrize("action", [None, "approve", "fail", "reject"])
def test_what_a_person_decided_is_restored(waiting: World, action: str | None) -> None:
    if action:
        waiting.decide("approve" if action == "fail" else action, "0002")
    if action in ("approve", "fail"):
        run(waiting, fails=action == "fail")
    before = waiting.loops.loop(PROJECT)
    waiting.loops = FakeLoops()
    RestoreLoop(waiting.loops, waiting.executions, waiting.workspace)(PROJECT)
    assert waiting.loops.loop(PROJECT) == before


def test_models_are_listed_with_what_became_of_them(waiting: World) -> None:
    train(waiting, 0.95, 0.8, execution("third"))
    found = [(each["version"], each["state"], each["answers"]) for each in states(PROJECT, waiting.workspace)]
    assert found == [
        ("0001", "promoted", True),
        ("0002", "awaiting_approval", False),
        ("0003", "training", False),
    ]
    waiting.decide("approve", "0002")
    run(waiting)
    _, second, _ = states(PROJECT, waiting.workspace)
    assert (second["state"], second["answers"]) == ("approved", True)
    assert second["reason"].startswith("ann approved it at ")
    assert second["registry"]["dataset_version"] == "0002"
