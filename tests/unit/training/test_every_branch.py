"""The state machine through every branch and every catch: whatever a choice may decide, one of these
executions decides, and each task is made to fail in each way that it catches.

A state, branch or catch that no execution here comes to fails these tests; `EXECUTIONS` wants one more then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tests.unit.rekognition import test_train_and_deploy as rekognition
from tests.unit.rekognition.test_train_and_deploy import OLD, CustomLabelsRun
from tests.unit.training.test_train_and_deploy import (
    AGAIN,
    ASKED,
    BUILT,
    EXISTS,
    GO,
    ON_INSTANCES,
    PLAN,
    RELEASE,
    TAKEN,
    TEXT,
    TRAINED,
    TRANSFORMS,
    Run,
    failure,
)

STATES: dict[str, Any] = yaml_parse(TEXT)["States"]
UNFORESEEN = "Lambda.Unforeseen"
"""An error that no state names."""

WORSE = {"promote": False, "reason": "worse", "score": 0.8, "champion_score": 0.9}
WRONG = failure("SmokeTestFailed", "wrong labels")
BROKEN = failure("States.TaskFailed", "it broke")
LOST = failure("SageMaker.Lost", "nobody knows")
THERE = failure("SageMaker.SageMakerException", EXISTS.format("model", "model"))
DROP = {"outcome": "drop", "reason": "good; it was compared with another"}
WAIT = {"outcome": "wait", "reason": "good; it waits for approval"}
RELEASED: dict[str, Any] = {
    "asked": ASKED,
    "BeginReleaseFunctionArn": RELEASE,
    "describeEndpoint": [Run.endpoint(config="now"), Run.endpoint()],
}


class FailsOnce(Run):
    """An execution in which the state `fails_in` fails with `error` when it is entered for the first time,
    however often it is retried."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fails_in: str = "", error: str = "", **answers: Any
    ) -> None:
        self.fails_in, self.error = fails_in, error
        # Lists are used up, and executions are repeated.
        mine = {name: [*answer] if isinstance(answer, list) else answer for name, answer in answers.items()}
        super().__init__(monkeypatch, **mine)

    @property
    def visited(self) -> list[str]:
        """The states that were entered, in order."""
        events = self.execution["events"]
        entered = (each.get("stateEnteredEventDetails") for each in events)
        return [details["name"] for details in entered if details]

    def _answer(self, resource: str, arguments: dict[str, Any]) -> Any:
        visited = self.visited
        if visited[-1] == self.fails_in and visited.count(self.fails_in) == 1:
            raise failure(self.error, "made to fail")
        return super()._answer(resource, arguments)


class CustomLabelsFailOnce(FailsOnce, CustomLabelsRun):
    """The same of one whose project Rekognition trains."""


Execute = Callable[..., FailsOnce]


def sagemaker(**answers: Any) -> Execute:
    return lambda monkeypatch, **fails: FailsOnce(monkeypatch, **fails, **answers)


def custom_labels(planned: dict[str, Any] | None = None, **answers: Any) -> Execute:
    return lambda monkeypatch, **fails: CustomLabelsFailOnce(monkeypatch, planned=planned, **fails, **answers)


def versions(*statuses: str) -> list[dict[str, Any]]:
    """What Rekognition says of a version that was trained, as it is looked at again."""
    return [rekognition.TRAINED, *map(rekognition.version, statuses)]


EXECUTIONS: dict[str, Execute] = {
    "a first model": sagemaker(),
    "nothing to do": sagemaker(BuildDatasetFunctionArn={**BUILT, "outcome": "covered", "version": None}),
    "batch transform": sagemaker(
        PlanTrainingFunctionArn={**PLAN, "trainer": "builtin", "transforms": TRANSFORMS}
    ),
    "a training that fails for its data": sagemaker(**{"createTrainingJob.sync": BROKEN}),
    "a training that is tried again": sagemaker(
        **{"createTrainingJob.sync": [BROKEN, TRAINED]}, RetryTrainingFunctionArn=AGAIN
    ),
    "a training whose beginning was not answered": sagemaker(
        **{"createTrainingJob.sync": TAKEN},
        describeTrainingJob=[{"TrainingJobStatus": "InProgress"}, TRAINED],
    ),
    "a training that is stopped": sagemaker(**{"createTrainingJob.sync": {"TrainingJobStatus": "Stopped"}}),
    "an unknown trainer": sagemaker(PlanTrainingFunctionArn={**PLAN, "trainer": "abacus"}),
    "a worse model": sagemaker(EvaluateCandidateFunctionArn=WORSE),
    "a better model": sagemaker(
        describeEndpoint=[Run.endpoint(config="old"), Run.endpoint("Updating"), Run.endpoint()]
    ),
    "a broken endpoint": sagemaker(
        describeEndpoint=[Run.endpoint("Failed"), Run.endpoint("Creating"), Run.endpoint()]
    ),
    "an endpoint that can't be seen": sagemaker(describeEndpoint=LOST),
    "an update that SageMaker rolled back": sagemaker(describeEndpoint=Run.endpoint(config="old")),
    "a first endpoint that does not come up": sagemaker(
        describeEndpoint=[*Run.missing(), Run.endpoint("Failed")]
    ),
    "a model that fails at its rehearsal": sagemaker(
        describeEndpoint=Run.endpoint(config="old"), SmokeTestEndpointFunctionArn=WRONG
    ),
    "a rehearsal that never begins": sagemaker(
        describeEndpoint=Run.endpoint(config="old"),
        describeRehearsal=[Run.endpoint("Creating"), Run.endpoint("Failed")],
    ),
    "a better model on instances": sagemaker(
        PlanTrainingFunctionArn=ON_INSTANCES,
        describeEndpoint=[Run.endpoint(config="old"), Run.endpoint()],
    ),
    "a champion that is stopped": sagemaker(BeginReleaseFunctionArn={**GO, "is_asked": True}),
    "an endpoint that is being stopped": sagemaker(
        describeEndpoint=[Run.endpoint("Deleting"), Run.endpoint()]
    ),
    "an endpoint on instances that answers wrongly": sagemaker(
        PlanTrainingFunctionArn=ON_INSTANCES,
        describeEndpoint=[Run.endpoint(config="old"), Run.endpoint(), Run.endpoint(config="old")],
        SmokeTestEndpointFunctionArn=[{"images": 3}, WRONG],
    ),
    "an updated endpoint that answers wrongly": sagemaker(
        describeEndpoint=[Run.endpoint(config="old"), Run.endpoint(), Run.endpoint(config="old")],
        SmokeTestEndpointFunctionArn=[{"images": 3}, WRONG],
    ),
    "an endpoint that is lost while it is restored": sagemaker(
        describeEndpoint=[Run.endpoint(config="old"), Run.endpoint(), LOST],
        SmokeTestEndpointFunctionArn=[{"images": 3}, WRONG],
    ),
    "a model that waits for approval": sagemaker(BeginReleaseFunctionArn=WAIT),
    "a model that no approval could release": sagemaker(BeginReleaseFunctionArn=DROP),
    "an endpoint that others change for hours": sagemaker(
        BeginReleaseFunctionArn={"outcome": "busy", "reason": "others change it"}
    ),
    "a release that was done already": sagemaker(
        asked=ASKED, BeginReleaseFunctionArn={"outcome": "off", "reason": "done"}
    ),
    "a release of a model that was deleted": sagemaker(**RELEASED),
    "a release of a model that is there": sagemaker(
        **RELEASED, createModel=THERE, createEndpointConfig=THERE
    ),
    "a release of a model that can't be made": sagemaker(**RELEASED, createModel=LOST),
    "a release that can't be configured": sagemaker(**RELEASED, createEndpointConfig=LOST),
    "a version that waits for approval": custom_labels(BeginReleaseFunctionArn=WAIT),
    "a version that no approval could release": custom_labels(BeginReleaseFunctionArn=DROP),
    "a first version": custom_labels(),
    "a further version": custom_labels({"old_version": OLD}),
    "datasets of an earlier version": custom_labels(
        describeProjects=[
            rekognition.project(rekognition.TRAIN),
            rekognition.project(status="CREATING"),
            rekognition.project(),
        ]
    ),
    "a project that is never ready": custom_labels(describeProjects=rekognition.project(status="CREATING")),
    "entries to distribute": custom_labels(
        {"distribute": True},
        describeDataset=[rekognition.dataset("CREATE_IN_PROGRESS"), rekognition.dataset("CREATE_COMPLETE")],
    ),
    "a dataset that is refused": custom_labels(describeDataset=rekognition.dataset("CREATE_FAILED")),
    "a version that is not trained": custom_labels(
        describeProjectVersions=rekognition.version("TRAINING_FAILED")
    ),
    "a worse version": custom_labels(EvaluateCandidateFunctionArn=WORSE),
    "a version that does not start": custom_labels(describeProjectVersions=versions("STARTING", "FAILED")),
    "a version that answers wrongly": custom_labels(SmokeTestEndpointFunctionArn=WRONG),
}


@pytest.fixture(scope="module")
def executions() -> dict[str, FailsOnce]:
    """All executions, none of which is made to fail."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return {what: execute(monkeypatch) for what, execute in EXECUTIONS.items()}


def branches() -> Iterator[tuple[str, str]]:
    """Each choice with each state that it may lead to."""
    for name, state in STATES.items():
        if state["Type"] == "Choice":
            yield from ((name, rule["Next"]) for rule in state["Choices"])
            yield name, state["Default"]


def catches() -> Iterator[tuple[str, str, str]]:
    """Each task, an error that it catches, and the state that this leads to."""
    for name, state in STATES.items():
        for catch in state.get("Catch", []):
            for error in catch["ErrorEquals"]:
                yield name, UNFORESEEN if error == "States.ALL" else error, catch["Next"]


def test_each_branch_is_taken(executions: dict[str, FailsOnce]) -> None:
    taken = {pair for run in executions.values() for pair in itertools.pairwise(run.visited)}
    assert sorted(set(branches()) - taken) == []


def test_each_task_catches_whatever_fails() -> None:
    tasks = [name for name, state in STATES.items() if state["Type"] == "Task"]
    assert [name for name in tasks if (name, UNFORESEEN) not in {each[:2] for each in catches()}] == []


@pytest.mark.parametrize(("state", "error", "leads_to"), list(catches()))
def test_a_task_that_fails_leads_to_what_its_catch_says(
    monkeypatch: pytest.MonkeyPatch,
    executions: dict[str, FailsOnce],
    state: str,
    error: str,
    leads_to: str,
) -> None:
    what = next((what for what, run in executions.items() if state in run.visited), None)
    assert what is not None, f"no execution comes to {state}"
    run = EXECUTIONS[what](monkeypatch, fails_in=state, error=error)
    assert run.visited[run.visited.index(state) + 1] == leads_to
    assert STATES[run.visited[-1]]["Type"] in ("Succeed", "Fail")
    if run.execution["status"] != "SUCCEEDED":
        # The failure that is told is the one that began it all.
        assert run.execution["error"] == (executions[what].execution.get("error") or error)
        assert run.execution["cause"]
