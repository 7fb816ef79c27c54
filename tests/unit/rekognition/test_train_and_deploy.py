"""The state machine's way through Rekognition Custom Labels, run by the local cloud's engine."""

import re
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from tests.unit.training.test_train_and_deploy import PLAN, TEXT, Run, failure

PROJECT = "arn:aws:rekognition:us-east-1:000000000000:project/loupe-parts/1777900000000"
VERSION_NAME = "loupe-parts-0001-abcd"
VERSION = (
    f"arn:aws:rekognition:us-east-1:000000000000:project/loupe-parts/version/{VERSION_NAME}/1777900000001"
)
OLD = VERSION.replace("0001-abcd", "0000-abcd")
TRAIN, TEST = (
    f"arn:aws:rekognition:us-east-1:000000000000:project/loupe-parts/dataset/{kind}/1777900000000"
    for kind in ("train", "test")
)
MANIFEST = {"GroundTruthManifest": {"S3Object": {"Bucket": "workspace", "Name": "a/train.manifest"}}}
SUMMARY = "projects/parts/models/0001/EvaluationResultSummary.json"
PLANNED: dict[str, Any] = {
    "project": {"ProjectName": "loupe-parts", "Tags": {"loupe:project": "parts"}},
    "train": {"DatasetType": "TRAIN", "DatasetSource": MANIFEST},
    "test": {"DatasetType": "TEST", "DatasetSource": MANIFEST},
    "distribute": False,
    "version": {
        "VersionName": VERSION_NAME,
        "OutputConfig": {"S3Bucket": "workspace", "S3KeyPrefix": "projects/parts/models/0001"},
        "Tags": {"loupe:project": "parts"},
    },
    "start": {"MinInferenceUnits": 1},
    "test_set": "digest",
    "old_version": None,
}


def project(*datasets: str, status: str = "CREATED") -> dict[str, Any]:
    found = [{"DatasetArn": arn, "DatasetType": "TRAIN", "Status": "CREATE_COMPLETE"} for arn in datasets]
    return {"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": status, "Datasets": found}]}


def dataset(status: str, message: str = "") -> dict[str, Any]:
    return {"DatasetDescription": {"Status": status, "StatusMessage": message}}


def version(status: str, **members: Any) -> dict[str, Any]:
    found = {"ProjectVersionArn": VERSION, "Status": status, **members}
    return {"ProjectVersionDescriptions": [found]}


TRAINED = version(
    "TRAINING_COMPLETED",
    EvaluationResult={"F1Score": 0.9, "Summary": {"S3Object": {"Bucket": "workspace", "Name": SUMMARY}}},
)


class CustomLabelsRun(Run):
    """An execution for a project that Rekognition trains; `planned` changes the plan."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, planned: dict[str, Any] | None = None, **answers: Any
    ) -> None:
        plan = {
            **PLAN,
            "trainer": "rekognition",
            "hosting": "rekognition",
            "training_job": None,
            "release": None,
            "custom_labels": PLANNED | (planned or {}),
        }
        super().__init__(
            monkeypatch,
            **{
                "PlanTrainingFunctionArn": plan,
                "describeProjects": [{"ProjectDescriptions": []}, project()],
                "createProject": {"ProjectArn": PROJECT},
                "deleteDataset": {},
                "createDataset": [{"DatasetArn": TRAIN}, {"DatasetArn": TEST}],
                "describeDataset": dataset("CREATE_COMPLETE"),
                "distributeDatasetEntries": {},
                "createProjectVersion": {"ProjectVersionArn": VERSION},
                "describeProjectVersions": [
                    version("TRAINING_IN_PROGRESS"),
                    TRAINED,
                    version("STARTING"),
                    version("RUNNING"),
                ],
                "MeasureCustomLabelsFunctionArn": {"score": 0.9},
                "startProjectVersion": {"Status": "STARTING"},
                "stopProjectVersion": {"Status": "STOPPING"},
                **answers,
            },
        )


def test_a_first_model_is_trained_measured_started_and_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CustomLabelsRun(monkeypatch)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names == [
        "BuildDatasetFunctionArn",
        "PlanTrainingFunctionArn",
        "describeProjects",
        "createProject",
        "describeProjects",
        "createDataset",
        "createDataset",
        "describeDataset",
        "describeDataset",
        "createProjectVersion",
        "describeProjectVersions",
        "describeProjectVersions",
        "MeasureCustomLabelsFunctionArn",
        "EvaluateCandidateFunctionArn",
        "BeginReleaseFunctionArn",
        "startProjectVersion",
        "describeProjectVersions",
        "describeProjectVersions",
        "SmokeTestEndpointFunctionArn",
        "ConcludeTrainingFunctionArn",
    ]
    assert run.last("MeasureCustomLabelsFunctionArn")["summary"] == SUMMARY
    assert run.last("startProjectVersion") == {"ProjectVersionArn": VERSION, "MinInferenceUnits": 1}
    assert run.last("SmokeTestEndpointFunctionArn")["endpoint"] == VERSION
    assert run.conclusion["outcome"] == "promoted"
    assert run.conclusion["endpoint"] == VERSION
    assert run.conclusion["model_package_arn"] is None


def test_the_old_version_is_stopped_once_the_new_one_is_the_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CustomLabelsRun(monkeypatch, {"old_version": OLD})
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names[-2:] == ["ConcludeTrainingFunctionArn", "stopProjectVersion"]
    assert run.last("stopProjectVersion") == {"ProjectVersionArn": OLD}


def test_that_the_old_version_can_not_be_stopped_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = failure("Rekognition.ResourceInUseException", "it is STOPPED")
    run = CustomLabelsRun(monkeypatch, {"old_version": OLD}, stopProjectVersion=stopped)
    assert run.execution["status"] == "SUCCEEDED"


def test_datasets_of_an_earlier_training_are_deleted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CustomLabelsRun(monkeypatch, describeProjects=[project(TRAIN, TEST), project(TEST), project()])
    assert run.execution["status"] == "SUCCEEDED"
    assert "createProject" not in run.names
    deleted = [arguments["DatasetArn"] for name, arguments in run.calls if name == "deleteDataset"]
    assert deleted == [TRAIN, TEST]


def test_rekognition_distributes_the_entries_where_that_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = {"distribute": True, "test": {"DatasetType": "TEST"}}
    run = CustomLabelsRun(monkeypatch, planned)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names.count("distributeDatasetEntries") == 1
    assert run.names.index("distributeDatasetEntries") < run.names.index("createProjectVersion")
    assert run.last("createDataset") == {"DatasetType": "TEST", "ProjectArn": PROJECT}


def test_a_dataset_that_is_refused_ends_before_anything_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = dataset("CREATE_FAILED", "ERROR_EMPTY_MANIFEST")
    run = CustomLabelsRun(monkeypatch, describeDataset=refused)
    assert run.execution["status"] == "FAILED"
    assert "createProjectVersion" not in run.names
    assert "ERROR_EMPTY_MANIFEST" in run.conclusion["failure"]["Cause"]


def test_a_failed_training_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = version("TRAINING_FAILED", StatusMessage="Too few images")
    run = CustomLabelsRun(monkeypatch, describeProjectVersions=failed)
    assert run.execution["status"] == "FAILED"
    assert "Too few images" in run.conclusion["failure"]["Cause"]
    assert "startProjectVersion" not in run.names


NO_VERSION: dict[str, Any] = {"ProjectVersionDescriptions": []}
NO_ANSWER = failure("States.Timeout", "no answer within 60 s")


@pytest.mark.parametrize(
    "trouble",
    [
        NO_ANSWER,
        failure("Rekognition.RekognitionException", "Service Unavailable"),
        failure("Rekognition.AccessDeniedException", "somebody changes the role"),
    ],
    ids=["no answer", "no service", "no rights"],
)
def test_a_training_that_can_not_be_seen_for_a_while_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    looks = [*[trouble] * 20, TRAINED, version("RUNNING")]
    run = CustomLabelsRun(monkeypatch, describeProjectVersions=looks)
    assert run.execution["status"] == "SUCCEEDED", run.execution.get("cause")
    assert run.names.count("createProjectVersion") == 1


def test_a_training_that_can_never_be_seen_is_given_up_with_what_was_last_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Run, "definition", TEXT.replace("$polls < 300", "$polls < 9"))
    trouble = failure("Rekognition.AccessDeniedException", "no rights")
    run = CustomLabelsRun(monkeypatch, describeProjectVersions=trouble)
    assert run.execution["status"] == "FAILED"
    assert run.names.count("describeProjectVersions") == 9
    assert run.conclusion["failure"] == {
        "Error": "CustomLabelsTrainingFailed",
        "Cause": "Rekognition did not train the model, it is NOT_SEEN: "
        "Rekognition.AccessDeniedException: no rights",
    }


def test_a_training_whose_start_was_never_answered_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [NO_VERSION, version("TRAINING_IN_PROGRESS"), TRAINED, version("RUNNING")]
    run = CustomLabelsRun(monkeypatch, createProjectVersion=NO_ANSWER, describeProjectVersions=looks)
    assert run.execution["status"] == "SUCCEEDED", run.execution.get("cause")


def test_a_training_that_never_began_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CustomLabelsRun(monkeypatch, createProjectVersion=NO_ANSWER, describeProjectVersions=NO_VERSION)
    assert run.execution["status"] == "FAILED"
    assert run.names.count("describeProjectVersions") == 5
    assert "MISSING" in run.conclusion["failure"]["Cause"]


def test_a_candidate_that_is_not_better_is_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    worse = {"promote": False, "reason": "worse", "score": 0.8, "champion_score": 0.9}
    run = CustomLabelsRun(monkeypatch, EvaluateCandidateFunctionArn=worse)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.conclusion["outcome"] == "rejected"
    assert not {"startProjectVersion", "createModelPackage"} & set(run.names)


STARTED = [TRAINED, version("STARTING"), version("FAILED", StatusMessage="no capacity")]


@pytest.mark.parametrize(
    "answers",
    [
        {"describeProjectVersions": STARTED},
        {"describeProjectVersions": [TRAINED, failure("Rekognition.AccessDeniedException", "no")]},
        {"SmokeTestEndpointFunctionArn": failure("SmokeTestFailed", "wrong labels")},
        {"startProjectVersion": failure("States.Timeout", "no answer")},
    ],
    ids=["fails to start", "can't be seen", "fails the smoke test", "answer was lost"],
)
def test_a_candidate_that_was_started_and_is_not_released_is_stopped(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any]
) -> None:
    run = CustomLabelsRun(monkeypatch, {"old_version": OLD}, **answers)
    assert run.execution["status"] == "FAILED"
    assert run.names[-2:] == ["stopProjectVersion", "ConcludeTrainingFunctionArn"]
    assert run.last("stopProjectVersion") == {"ProjectVersionArn": VERSION}
    assert run.conclusion["outcome"] == "failed"


@pytest.mark.parametrize(
    "call", ["createProject", "createDataset", "createProjectVersion", "startProjectVersion"]
)
def test_a_call_that_was_made_before_is_not_a_failure(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    names = {"createDataset": "Rekognition.ResourceAlreadyExistsException"}
    again = failure(names.get(call, "Rekognition.ResourceInUseException"), "it is there already")
    answers: dict[str, list[Any]] = {
        "createProject": [again],
        "createDataset": [again, {"DatasetArn": TRAIN}, {"DatasetArn": TEST}],
        "createProjectVersion": [again],
        "startProjectVersion": [again],
    }
    run = CustomLabelsRun(monkeypatch, None, **{call: answers[call]})
    assert run.execution["status"] == "SUCCEEDED", run.execution.get("cause")


def test_all_waiting_together_stays_far_from_the_limit_of_events() -> None:
    """An execution has 25,000 events; a look has a wait, two descriptions and a choice, a dozen at most. Whom
    SageMaker trains, Rekognition does not."""
    bounds = {
        name: re.findall(r"\$polls < (\d+)", str(state)) for name, state in yaml_parse(TEXT)["States"].items()
    }
    looks = {name: max(map(int, found)) for name, found in bounds.items() if found}
    of_rekognition = {
        "IsTheProjectEmpty",
        "AreTheDatasetsReady",
        "IsTheVersionTrained",
        "IsTheVersionRunning",
    }
    of_sagemaker = {"HasTheTrainingEnded", "IsTheRehearsalReady", "IsItInService"}
    assert looks.keys() == {"MayItBegin", *of_rekognition, *of_sagemaker}
    for others in (of_sagemaker, of_rekognition):
        assert sum(bound for name, bound in looks.items() if name not in others) * 14 < 25_000
