"""What holds for every sequence of finished jobs, failures, approvals and rollbacks."""

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from loupe.domain.errors import Conflict
from loupe.domain.events import ReleaseRequested
from loupe.domain.manifests import S3Uri
from loupe.domain.serving.releases import REGISTRY, NoteApproval, UnknownModel, champions
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.turns import Result, outcomes
from tests.unit.training.world import NAMES, PROJECT, World, execution

PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/loupe-digits/{}"
PEOPLE = st.sampled_from(["ann", REGISTRY])
FAILURE = {"Error": "States.TaskFailed", "Cause": "it broke"}


class Loop(RuleBasedStateMachine):
    """Workers, the state machine, and people who decide, in any order. A model is as good as its version and
    an image say, so that each test set has its own order of models; the endpoint is the name of its
    configuration, which SageMaker changes between the beginning of a release and its conclusion."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.endpoint: str | None = None
        self.before: str | None = None
        self.registered: set[str] = set()
        self.numbers = 0
        self.training: str | None = None
        self.trained: str | None = None
        self.releasing: list[tuple[str, str, str | None]] = []
        self.tested: list[set[str]] = []

    # Workers

    @initialize()
    def label_the_first_images(self) -> None:
        self._finish_a_job(20)

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """One rule, so that hypothesis leaves none of these out for whole runs."""
        loop = self.world.loops.loop(PROJECT)
        waiting = self._trained("awaiting_approval")
        possible: list[tuple[Callable[[st.DataObject], None], int, object]] = [
            (self.train, 4, not self.training),
            (self.release, 6, self.releasing),
            (self.start_a_requested_release, 3, True),
            (self.decide_on_a_candidate, 3, waiting),
            (self.roll_back, 2, self.endpoint),
            (self.decide_on_anything, 1, True),
            (self.resume, 2, loop.paused),
            (self.configure, 1, True),
            (self.finish_a_job_while_a_model_is_trained, 1, self.training),
            (self.lose_the_execution, 1, self.training),
        ]
        steps = [step for step, weight, is_possible in possible if is_possible for _ in range(weight)]
        data.draw(st.sampled_from(steps))(data)

    def configure(self, data: st.DataObject) -> None:
        self.world.configure(promotion={"require": data.draw(st.sampled_from(["nothing", "approval"]))})

    def finish_a_job_while_a_model_is_trained(self, _: st.DataObject) -> None:
        self._finish_a_job(2)
        by = self._execution()
        assert self.world.build(by).outcome == "covered"  # one training at a time
        self.world.executions.running.discard(by)

    # A turn of the loop

    def train(self, data: st.DataObject) -> None:
        fails = data.draw(st.integers(0, 6)) == 6
        self._finish_a_job(data.draw(st.integers(1, 8)))
        by = self._execution()
        plan = self.world.plan(self.world.build(by).version or "", by)
        split = self.world.split(plan.dataset_version)
        self.tested.append({sha for sha, where in split.items() if where == "test"})
        for sha, where in split.items():
            assert where == "test" or not any(sha in earlier for earlier in self.tested)
        self.training, self.trained = by, plan.version
        if fails:
            self._conclude_turn("failed")
        else:
            self._compare(plan)

    def lose_the_execution(self, _: st.DataObject) -> None:
        self.world.executions.running.discard(self.training or "")
        self.releasing = [each for each in self.releasing if each[0] != self.training]
        self.training = self.trained = None

    # Releases

    def release(self, data: st.DataObject) -> None:
        comes = "down" if data.draw(st.integers(0, 4)) == 4 else "up"
        by, version, request = self.releasing.pop(data.draw(st.integers(0, len(self.releasing) - 1)))
        self.world.clock.advance(minutes=1)
        if request is None:
            begun = self.world.begin.of_turn(PROJECT, version, by)
            assert begun.outcome in ("go", "wait", "drop")
            if begun.outcome != "go":
                self._conclude_turn("awaiting_approval" if begun.outcome == "wait" else "rejected")
                return
            current = self.world.loops.loop(PROJECT).champion
            if current:  # whoever is promoted without a person is as good on today's test set
                assert self._score(version) >= self._score(current.version)
            if comes == "up":
                self.endpoint = version
            self._conclude_turn("promoted" if comes == "up" else "failed")
            return
        try:
            is_off = self.world.begin.of_request(PROJECT, version, by, request).outcome == "off"
        except Conflict:
            comes, is_off = "down", False
        if is_off:
            self.world.executions.running.discard(by)
            return
        if comes == "up":
            self.endpoint = version
        outcome: Literal["promoted", "failed"] = "promoted" if comes == "up" else "failed"
        failure = None if comes == "up" else FAILURE
        result = Result(PROJECT, by, outcome, version, "as asked", failure=failure)
        self.world.conclude_release(request, result)
        self.world.conclude_release(request, result)  # the answer was lost
        self.world.executions.running.discard(by)

    def start_a_requested_release(self, data: st.DataObject) -> None:
        """Its event may come twice, late, or in another order."""
        requested = [each for each in self.world.events.published if isinstance(each, ReleaseRequested)]
        if requested:
            late = data.draw(st.sampled_from([0, 0, 0, 1, 2]))
            event = requested[-1 - min(late, len(requested) - 1)]
            self.releasing.append((self._execution(), event.version, event.request))

    # People

    def decide_on_a_candidate(self, data: st.DataObject) -> None:
        action = data.draw(st.sampled_from(["approve", "approve", "reject"]))
        waiting = self._trained("awaiting_approval")
        self._decide(action, data.draw(st.sampled_from(waiting)), data.draw(PEOPLE))

    def roll_back(self, data: st.DataObject) -> None:
        trained = self._trained("promoted", "rejected", "awaiting_approval")
        self._decide("rollback", data.draw(st.sampled_from([None, *trained])), "ann")

    def resume(self, _: st.DataObject) -> None:
        self._decide("resume", None, "ann")

    def decide_on_anything(self, data: st.DataObject) -> None:
        action = data.draw(st.sampled_from(["approve", "reject", "rollback"]))
        self._decide(action, data.draw(st.sampled_from(["0001", "0002", "0003"])), data.draw(PEOPLE))

    # What holds

    @invariant()
    def the_test_set_never_shrinks(self) -> None:
        assert all(earlier <= later for earlier, later in zip(self.tested, self.tested[1:], strict=False))

    @invariant()
    def the_endpoint_answers_with_the_champion_which_is_registered(self) -> None:
        champion = self.world.loops.loop(PROJECT).champion
        assert (champion.version if champion else None) == self.endpoint
        assert self.endpoint is None or self.endpoint in self.registered

    @invariant()
    def s3_knows_the_champion_without_the_index(self) -> None:
        answered = champions(PROJECT, self.world.workspace)
        assert (answered[-1].version if answered else None) == self.endpoint

    @invariant()
    def nobody_is_promoted_while_a_rollback_holds(self) -> None:
        loop = self.world.loops.loop(PROJECT)
        if loop.paused and loop.last_training and loop.last_training.status == "promoted":
            ended = loop.last_training.ended_at
            approved = self.world.workspace.exists(NAMES.approval(loop.last_training.version or ""))
            assert approved or (ended and ended <= loop.paused.since)

    # Steps

    def _decide(self, action: str, version: str | None, by: str) -> None:
        self.world.clock.advance(minutes=1)
        with suppress(Conflict, UnknownModel):
            if by != REGISTRY or version is None or action == "rollback":
                self.world.decide(action, version, "ann")
            else:
                status = {"approve": "Approved", "reject": "Rejected"}[action]
                note = NoteApproval(self.world.decides)
                note(PROJECT, version, PACKAGE.format(version), status, is_new=False)

    def _trained(self, *states: str) -> list[str]:
        return [
            each["version"] for each in outcomes(PROJECT, self.world.workspace) if each["outcome"] in states
        ]

    def _finish_a_job(self, images: int) -> None:
        self.numbers += 1
        names = (f"{self.numbers}/{at}" for at in range(images))
        answers = {self.world.upload(name): "ab"[at % 2] for at, name in enumerate(names)}
        self.world.finish(f"digits-{self.numbers}", answers)

    def _compare(self, plan: TrainingPlan) -> None:
        champion = self.world.loops.loop(PROJECT).champion
        evaluation = {
            "dataset_version": plan.dataset_version,
            "test_images": len(self.tested[-1]),
            "candidate": {"score": self._score(plan.version)},
            "champion": {"score": self._score(champion.version)} if champion else None,
        }
        self.world.write_output(plan, {"evaluation.json": json.dumps(evaluation).encode()})
        assert plan.release
        self.world.workspace.write(S3Uri.parse(plan.release.model_data_url).key, b"a model")
        self.registered.add(plan.version)
        if self.world.evaluate(plan.version).promote:
            self.releasing.append((plan.execution, plan.version, None))
        else:
            self._conclude_turn("rejected")

    def _execution(self) -> str:
        self.numbers += 1
        by = execution(str(self.numbers))
        self.world.executions.running.add(by)
        return by

    def _conclude_turn(self, outcome: Literal["promoted", "awaiting_approval", "rejected", "failed"]) -> None:
        by, version = self.training or "", self.trained or ""
        package = None if outcome == "failed" else PACKAGE.format(version)
        failure = FAILURE if outcome == "failed" else None
        score = self._score(version)
        result = Result(PROJECT, by, outcome, version, "decided", score, None, package, failure)
        self.world.conclude(result)
        self.world.executions.running.discard(by)
        self.training = self.trained = None

    def _score(self, version: str) -> float:
        """The share of today's test images that the model is right about."""
        images = self.tested[-1]
        right = sum(sha256(f"{version} {image}".encode()).digest()[0] % 2 for image in images)
        return right / len(images)


TestLoop = Loop.TestCase
TestLoop.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
