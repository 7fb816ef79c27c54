"""The state machine, run by the local cloud's engine; what its tasks call answers from this file."""

import json
from pathlib import Path
from typing import Any

import pytest
from ministack.services import stepfunctions
from samcli.yamlhelper import yaml_parse

from loupe.domain.projects import Hosting, Realtime
from loupe.domain.serving.endpoints import production_variant, release_alarms, update_request
from tests.unit.training.requests import assert_aws_takes

DEFINITION = Path(__file__).parents[3] / "statemachine/train_and_deploy.asl.yaml"
TEXT = DEFINITION.read_text().replace("${SecondsToLetCallsEnd}", "60")
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:loop:one"
MISSING = 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/loupe-digits--abcdef".'
PLAN: dict[str, Any] = {
    "project": "digits",
    "version": "0001",
    "dataset_version": "0001",
    "execution": EXECUTION,
    "started_at": "2026-11-21T10:15:00+00:00",
    "task": "image-classification",
    "labels": ["a", "b"],
    "trainer": "script",
    "hosting": "serverless",
    "model_name": "loupe-digits-0001-abcd",
    "evaluation_uri": "s3://workspace/evaluation.json",
    "tags": [{"Key": "loupe:project", "Value": "digits"}],
    "training_job": {"TrainingJobName": "loupe-digits-0001-abcd"},
    "release": {
        "model_package_group": "loupe-digits",
        "model_data_url": "s3://workspace/model.tar.gz",
        "image": "image",
        "environment": {"SAGEMAKER_PROGRAM": "inference.py"},
        "endpoint": "loupe-digits--abcdef",
        "role_arn": "arn:aws:iam::000000000000:role/sagemaker",
        "rehearsal": "loupe-digits--abcdefr",
        "variant": {
            "VariantName": "AllTraffic",
            "ModelName": "loupe-digits-0001-abcd",
            "ServerlessConfig": {"MemorySizeInMB": 4096, "MaxConcurrency": 5},
        },
        "update": {"EndpointName": "loupe-digits--abcdef", "EndpointConfigName": "loupe-digits-0001-abcd"},
        "alarms": [],
    },
    "custom_labels": None,
    "registry": {"project": "digits", "model_version": "0001", "trainer_code": "c0de"},
}
JOB = "digits-20261121t100000-1a2b"
PLAN["correlation_id"] = JOB
BUILT = {"outcome": "built", "version": "0001", "reason": "", "correlation_id": JOB}
TRAINED = {
    "TrainingJobStatus": "Completed",
    "ModelArtifacts": {"S3ModelArtifacts": "s3://workspace/model.tar.gz"},
}
NOT_AGAIN = {"again": False, "reason": "it broke", "wait_seconds": 0, "plan": None}
"""What retry_training answers of a failure that would come back."""
AGAIN = {
    "again": True,
    "reason": "attempt 1: InternalServerError: try again",
    "wait_seconds": 300,
    "plan": {
        **PLAN,
        "training_job": {"TrainingJobName": "loupe-digits-0001-abcd-2"},
        "registry": {**PLAN["registry"], "training_attempts": "2"},
    },
}
AWS_SERVICES = {
    "rekognition": "rekognition",
    "cloudwatch": "cloudwatch",
    "applicationautoscaling": "application-autoscaling",
    "sagemaker": "sagemaker",
}
GO = {"outcome": "go", "reason": "good", "plan": None, "is_asked": False}
RELEASE = {
    "outcome": "go",
    "reason": "ann rolled back to model 0001",
    "plan": PLAN,
    "score": 0.8,
    "model_package_arn": "arn:package",
    "is_asked": False,
}


def failure(error: str, cause: str) -> Exception:
    raised: Exception = stepfunctions._ExecutionError(error, cause)
    return raised


TAKEN = failure(
    "SageMaker.ResourceInUseException",
    "Job name must be unique within an AWS account and region, and a training job with this name exists",
)


class Run:
    """One execution; `answers` are results by call: an exception is raised, a list is used up. `asked` is its
    input."""

    definition = TEXT

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        asked = answers.pop("asked", {"project": "digits", "job": "digits-1"})
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "BuildDatasetFunctionArn": BUILT,
            "PlanTrainingFunctionArn": PLAN,
            "createTrainingJob.sync": TRAINED,
            "describeTrainingJob": TRAINED,
            "RetryTrainingFunctionArn": NOT_AGAIN,
            "EvaluateCandidateFunctionArn": {
                "promote": True,
                "reason": "good",
                "score": 0.9,
                "champion_score": None,
            },
            "BeginReleaseFunctionArn": GO,
            "createModelPackageGroup": {"ModelPackageGroupArn": "arn:group"},
            "createModelPackage": {"ModelPackageArn": "arn:package"},
            "createModel": {},
            "deleteModel": {},
            "createTransformJob.sync": {},
            "createEndpointConfig": {},
            "describeEndpoint": [*self.missing(), self.endpoint()],
            "createEndpoint": {},
            "updateEndpoint": {},
            "deleteEndpoint": {},
            "createRehearsal": {},
            "describeRehearsal": self.endpoint(),
            "deleteRehearsal": {},
            "putMetricAlarm": {},
            "deleteAlarms": {},
            "deregisterScalableTarget": {},
            "SmokeTestEndpointFunctionArn": {"images": 3},
            "ConcludeTrainingFunctionArn": {"reason": "said in words"},
            **answers,
        }
        monkeypatch.setattr(stepfunctions, "_SFN_WAIT_SCALE", 0)
        monkeypatch.setattr(stepfunctions, "_invoke_resource", self._answer)
        machine = {"name": "loop", "definition": json.dumps(dict(yaml_parse(self.definition)))}
        monkeypatch.setitem(stepfunctions._state_machines, "arn:machine", machine)
        self.execution: dict[str, Any] = {
            "stateMachineArn": "arn:machine",
            "executionArn": EXECUTION,
            "name": "one",
            "input": json.dumps(asked),
            "startDate": "2026-11-21T10:15:00Z",
            "status": "RUNNING",
            "events": [],
        }
        monkeypatch.setitem(stepfunctions._executions, EXECUTION, self.execution)
        stepfunctions._run_execution(EXECUTION)

    @staticmethod
    def missing() -> list[Exception]:
        """SageMaker's answer, and to the two retries, too: by its code it may be a passing trouble."""
        return [failure("SageMaker.SageMakerException", MISSING)] * 3

    @staticmethod
    def endpoint(status: str = "InService", config: str = "loupe-digits-0001-abcd") -> dict[str, Any]:
        return {"EndpointStatus": status, "EndpointConfigName": config}

    def _answer(self, resource: str, arguments: dict[str, Any]) -> Any:
        is_function = resource.endswith("lambda:invoke")
        name = arguments["FunctionName"].strip("${}") if is_function else resource.rpartition(":")[2]
        if is_function:
            arguments = arguments["Payload"]
        elif not name.endswith(".sync"):  # those requests are the plan's, and tested there
            service = next(name for each, name in AWS_SERVICES.items() if f":{each}:" in resource)
            assert_aws_takes(service, name[0].upper() + name[1:], arguments)
        if arguments.get("EndpointName") == PLAN["release"]["rehearsal"]:
            name = name.replace("Endpoint", "Rehearsal")
        self.calls.append((name, arguments))
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return {"Payload": answer} if is_function else answer

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def last(self, name: str) -> dict[str, Any]:
        return [arguments for called, arguments in self.calls if called == name][-1]

    @property
    def conclusion(self) -> dict[str, Any]:
        return self.last("ConcludeTrainingFunctionArn")


def test_a_first_model_gets_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names == [
        "BuildDatasetFunctionArn",
        "PlanTrainingFunctionArn",
        "createTrainingJob.sync",
        "createModel",
        "EvaluateCandidateFunctionArn",
        "BeginReleaseFunctionArn",
        "createModelPackageGroup",
        "createModelPackage",
        "createEndpointConfig",
        "describeEndpoint",
        "describeEndpoint",
        "describeEndpoint",
        "createEndpoint",
        "describeEndpoint",
        "SmokeTestEndpointFunctionArn",
        "ConcludeTrainingFunctionArn",
    ]
    assert run.conclusion == {
        "project": "digits",
        "execution": EXECUTION,
        "correlation_id": JOB,
        "request": None,
        "outcome": "promoted",
        "version": "0001",
        "reason": "good",
        "score": 0.9,
        "champion_score": None,
        "model_package_arn": "arn:package",
        "endpoint": None,
    }


def test_each_function_is_told_which_upload_it_works_for(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, describeEndpoint=[Run.endpoint(config="old"), Run.endpoint()])
    told = {name: call.get("correlation_id") for name, call in run.calls if name.endswith("FunctionArn")}
    assert told.pop("BuildDatasetFunctionArn") is None  # it is the one that says so
    assert told == dict.fromkeys(told, JOB)
    assert len(told) == 5


# A training that does not complete ----------------------------------------------------------------

BROKEN = failure("States.TaskFailed", '{"FailureReason": "InternalServerError: try again"}')


def jobs(run: Run) -> list[str]:
    """The training jobs that were asked for, by name."""
    return [asked["TrainingJobName"] for name, asked in run.calls if name == "createTrainingJob.sync"]


def test_a_training_that_may_pass_is_tried_again_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"S3ModelArtifacts": "s3://workspace/second/model.tar.gz"}
    run = Run(
        monkeypatch,
        RetryTrainingFunctionArn=AGAIN,
        **{"createTrainingJob.sync": [BROKEN, {**TRAINED, "ModelArtifacts": model}]},
    )
    assert run.execution["status"] == "SUCCEEDED"
    assert jobs(run) == ["loupe-digits-0001-abcd", "loupe-digits-0001-abcd-2"]
    assert run.last("RetryTrainingFunctionArn") == {
        "project": "digits",
        "correlation_id": JOB,
        "version": "0001",
        "job": "loupe-digits-0001-abcd",
        "failure": {
            "Error": "States.TaskFailed",
            "Cause": '{"FailureReason": "InternalServerError: try again"}',
        },
    }
    assert run.last("createModel")["PrimaryContainer"]["ModelDataUrl"] == model["S3ModelArtifacts"]
    assert run.last("createModelPackage")["CustomerMetadataProperties"]["training_attempts"] == "2"


def test_the_next_attempt_waits_as_long_as_it_is_told() -> None:
    waited = yaml_parse(TEXT)["States"]["AwaitNextAttempt"]
    assert waited == {"Type": "Wait", "Seconds": "{% $states.input.wait_seconds %}", "Next": "TrainCandidate"}


def test_a_training_that_fails_again_and_again_is_looked_at_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(
        monkeypatch,
        RetryTrainingFunctionArn=[AGAIN, {**NOT_AGAIN, "reason": "the last of 3 attempts"}],
        **{"createTrainingJob.sync": BROKEN},
    )
    assert run.execution["status"] == "FAILED"
    assert len(jobs(run)) == 2
    assert run.last("RetryTrainingFunctionArn")["job"] == "loupe-digits-0001-abcd-2"
    assert run.conclusion["failure"] == {"Error": "States.TaskFailed", "Cause": "the last of 3 attempts"}


def test_a_training_job_that_was_made_by_a_call_without_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    throttled = failure("SageMaker.AmazonSageMakerException", "Rate exceeded")
    run = Run(
        monkeypatch,
        describeTrainingJob=[{"TrainingJobStatus": "InProgress"}, TRAINED],
        **{"createTrainingJob.sync": [throttled, TAKEN]},
    )
    assert run.execution["status"] == "SUCCEEDED"
    assert jobs(run) == ["loupe-digits-0001-abcd"] * 2
    assert run.names.count("describeTrainingJob") == 2
    assert "RetryTrainingFunctionArn" not in run.names


def test_a_training_job_that_failed_while_it_was_waited_for_is_told_apart_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = {
        "TrainingJobName": "loupe-digits-0001-abcd",
        "TrainingJobStatus": "Failed",
        "SecondaryStatus": "Failed",
        "FailureReason": "CapacityError: Unable to provision requested ML compute capacity.",
        "SecondaryStatusTransitions": [{"Status": "Failed"}],
    }
    run = Run(monkeypatch, describeTrainingJob=failed, **{"createTrainingJob.sync": TAKEN})
    told = run.last("RetryTrainingFunctionArn")["failure"]
    assert told["Error"] == "States.TaskFailed"
    assert json.loads(told["Cause"]) == {
        name: value for name, value in failed.items() if name != "TrainingJobName"
    }
    assert run.conclusion["failure"]["Cause"] == "it broke"


def test_a_training_job_that_was_stopped_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `.sync` makes of it."""
    stopped = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxWaitTimeExceeded"}
    run = Run(monkeypatch, **{"createTrainingJob.sync": stopped})
    assert json.loads(run.last("RetryTrainingFunctionArn")["failure"]["Cause"]) == stopped
    assert "createModel" not in run.names


def test_a_training_job_that_cannot_be_seen_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = failure("SageMaker.SageMakerException", "Rate exceeded")
    run = Run(monkeypatch, describeTrainingJob=[*[lost] * 6, TRAINED], **{"createTrainingJob.sync": TAKEN})
    assert run.execution["status"] == "SUCCEEDED"


def test_when_nobody_can_say_what_follows_the_training_ends_with_its_own_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(
        monkeypatch,
        RetryTrainingFunctionArn=failure("Lambda.Unknown", "gone"),
        **{"createTrainingJob.sync": BROKEN},
    )
    assert "InternalServerError" in run.conclusion["failure"]["Cause"]


TRANSFORMS = {
    whose: {"TransformJobName": f"loupe-digits-0001-abcd-{whose}"} for whose in ("candidate", "champion")
}


def test_candidate_and_champion_are_asked_by_batch_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {**PLAN, "trainer": "builtin", "transforms": TRANSFORMS}
    run = Run(monkeypatch, PlanTrainingFunctionArn=plan)
    assert run.execution["status"] == "SUCCEEDED"
    asked = [arguments for name, arguments in run.calls if name == "createTransformJob.sync"]
    assert asked == [TRANSFORMS["candidate"], TRANSFORMS["champion"]]
    assert run.names.index("createModel") < run.names.index("createTransformJob.sync")
    evaluation = run.last("EvaluateCandidateFunctionArn")
    assert evaluation == {
        "project": "digits",
        "correlation_id": JOB,
        "version": "0001",
        "transform_failures": {},
    }


def test_a_first_candidate_is_asked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {**PLAN, "trainer": "builtin", "transforms": {**TRANSFORMS, "champion": None}}
    run = Run(monkeypatch, PlanTrainingFunctionArn=plan)
    assert run.names.count("createTransformJob.sync") == 1


def test_a_batch_transform_that_fails_leaves_the_judgement_to_the_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = {**PLAN, "trainer": "builtin", "transforms": TRANSFORMS}
    broken = failure("States.TaskFailed", '{"FailureReason": "one image"}')
    run = Run(monkeypatch, PlanTrainingFunctionArn=plan, **{"createTransformJob.sync": broken})
    assert run.execution["status"] == "SUCCEEDED"
    caught = {"Error": "States.TaskFailed", "Cause": '{"FailureReason": "one image"}'}
    assert run.last("EvaluateCandidateFunctionArn")["transform_failures"] == {
        "candidate": caught,
        "champion": caught,
    }


def test_a_trainer_that_it_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PlanTrainingFunctionArn={**PLAN, "trainer": "abacus"})
    assert run.execution["status"] == "FAILED"
    assert run.conclusion["failure"] == {
        "Error": "UnknownTrainer",
        "Cause": "the state machine does not know how to train with abacus",
    }


def test_a_better_model_updates_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint("Updating", "old"), Run.endpoint()]
    run = Run(monkeypatch, describeEndpoint=polls)
    assert run.execution["status"] == "SUCCEEDED"
    assert "createEndpoint" not in run.names
    assert run.last("updateEndpoint") == PLAN["release"]["update"]
    assert run.names.index("deleteRehearsal") < run.names.index("createRehearsal")
    rehearsal, after = (asked for name, asked in run.calls if name == "SmokeTestEndpointFunctionArn")
    assert rehearsal["endpoint"] == "loupe-digits--abcdefr"
    assert after["endpoint"] is None
    assert run.names.index("SmokeTestEndpointFunctionArn") < run.names.index("updateEndpoint")
    assert [each for each in run.names if "Rehearsal" in each][-1] == "deleteRehearsal"


def test_a_model_that_fails_at_its_rehearsal_never_comes_near_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = failure("SmokeTestFailed", '{"errorMessage": "it fails on every image"}')
    run = Run(
        monkeypatch,
        describeEndpoint=[Run.endpoint(config="old")],
        SmokeTestEndpointFunctionArn=broken,
    )
    assert run.execution["status"] == "FAILED"
    assert not {"updateEndpoint", "createEndpoint", "deleteEndpoint"} & set(run.names)
    assert run.names[-2:] == ["deleteRehearsal", "ConcludeTrainingFunctionArn"]
    assert run.conclusion["failure"]["Error"] == "SmokeTestFailed"


def test_a_rehearsal_that_never_comes_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(
        monkeypatch,
        describeEndpoint=[Run.endpoint(config="old")],
        describeRehearsal=Run.endpoint("Creating"),
    )
    assert run.execution["error"] == "EndpointFailed"
    assert run.names.count("describeRehearsal") < 400
    assert run.names[-2:] == ["deleteRehearsal", "ConcludeTrainingFunctionArn"]
    assert "updateEndpoint" not in run.names


REALTIME = Realtime(shift="linear", shift_percent=25, bake_seconds=60)
ON_INSTANCES = {
    **PLAN,
    "hosting": "realtime",
    "release": {
        **PLAN["release"],
        "variant": production_variant(PLAN["model_name"], Hosting(kind="realtime", realtime=REALTIME)),
        "update": update_request(
            PLAN["release"]["endpoint"], PLAN["model_name"], Hosting(kind="realtime", realtime=REALTIME)
        ),
        "alarms": release_alarms(
            PLAN["release"]["endpoint"], PLAN["model_name"], Hosting(kind="realtime", realtime=REALTIME)
        ),
    },
}


def test_on_instances_traffic_shifts_under_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint("Updating", "old"), Run.endpoint()]
    run = Run(monkeypatch, PlanTrainingFunctionArn=ON_INSTANCES, describeEndpoint=polls)
    assert run.execution["status"] == "SUCCEEDED"
    put = [asked["AlarmName"] for name, asked in run.calls if name == "putMetricAlarm"]
    update = run.last("updateEndpoint")
    watched = update["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    assert put == [each["AlarmName"] for each in watched]
    assert run.names.index("putMetricAlarm") < run.names.index("updateEndpoint")
    [variant] = run.last("createEndpointConfig")["ProductionVariants"]
    assert variant["InstanceType"] == "ml.c6i.large"


def test_what_is_restored_on_instances_is_restored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint(), Run.endpoint(config="old")]
    wrong = [{"images": 3}, failure("SmokeTestFailed", "wrong labels")]
    run = Run(
        monkeypatch,
        PlanTrainingFunctionArn=ON_INSTANCES,
        describeEndpoint=polls,
        SmokeTestEndpointFunctionArn=wrong,
    )
    assert run.last("updateEndpoint") == {
        "EndpointName": "loupe-digits--abcdef",
        "EndpointConfigName": "old",
        "RetainAllVariantProperties": False,
    }


def test_alarms_of_the_model_before_go_when_the_next_one_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint()]
    run = Run(monkeypatch, PlanTrainingFunctionArn=ON_INSTANCES, describeEndpoint=polls)
    assert run.names[-2:] == ["ConcludeTrainingFunctionArn", "deleteAlarms"]
    assert run.last("deleteAlarms") == {"AlarmNames": ["old-errors", "old-latency"]}


def test_scaling_ends_before_the_endpoint_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint()]
    run = Run(monkeypatch, PlanTrainingFunctionArn=ON_INSTANCES, describeEndpoint=polls)
    assert run.names.index("deregisterScalableTarget") < run.names.index("updateEndpoint")
    assert (
        run.last("deregisterScalableTarget")["ResourceId"]
        == "endpoint/loupe-digits--abcdef/variant/AllTraffic"
    )


def test_a_model_rehearses_for_a_champion_that_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, BeginReleaseFunctionArn={**GO, "is_asked": True})
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names.index("SmokeTestEndpointFunctionArn") < run.names.index("createEndpoint")
    assert "updateEndpoint" not in run.names


def test_an_endpoint_that_is_being_stopped_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint("Deleting", "old"), Run.endpoint()]
    run = Run(monkeypatch, describeEndpoint=polls, BeginReleaseFunctionArn={**GO, "is_asked": True})
    assert run.execution["status"] == "SUCCEEDED"
    assert "createRehearsal" in run.names
    assert "createEndpoint" in run.names
    assert "updateEndpoint" not in run.names


def test_when_another_execution_covers_the_project_it_succeeds_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    covered = {"outcome": "covered", "version": None, "reason": "", "correlation_id": None}
    run = Run(monkeypatch, BuildDatasetFunctionArn=covered)
    assert run.execution["status"] == "SUCCEEDED"
    assert json.loads(run.execution["output"]) == covered
    assert run.names == ["BuildDatasetFunctionArn"]


def test_a_candidate_that_is_not_better_is_registered_as_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    worse = {"promote": False, "reason": "worse", "score": 0.8, "champion_score": 0.9}
    run = Run(monkeypatch, EvaluateCandidateFunctionArn=worse)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.last("createModelPackage")["ModelApprovalStatus"] == "Rejected"
    assert run.last("deleteModel") == {"ModelName": PLAN["model_name"]}
    assert "createEndpointConfig" not in run.names
    assert run.conclusion["outcome"] == "rejected"


@pytest.mark.parametrize(
    ("step", "version"),
    [
        ("BuildDatasetFunctionArn", None),
        ("PlanTrainingFunctionArn", None),
        ("createTrainingJob.sync", "0001"),
        ("EvaluateCandidateFunctionArn", "0001"),
        ("BeginReleaseFunctionArn", "0001"),
        ("createModelPackage", "0001"),
        ("createModel", "0001"),
        ("createEndpointConfig", "0001"),
        ("createEndpoint", "0001"),
    ],
)
def test_whatever_fails_before_the_release_ends_as_failed_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, step: str, version: str | None
) -> None:
    run = Run(monkeypatch, **{step: failure("States.TaskFailed", "it broke")})
    assert run.execution["status"] == "FAILED"
    assert (run.execution["error"], run.execution["cause"]) == ("States.TaskFailed", "said in words")
    assert run.conclusion == {
        "project": "digits",
        "execution": EXECUTION,
        "correlation_id": None if step == "BuildDatasetFunctionArn" else JOB,
        "request": None,
        "outcome": "failed",
        "version": version,
        "failure": {"Error": "States.TaskFailed", "Cause": "it broke"},
    }
    assert not {"deleteEndpoint", "SmokeTestEndpointFunctionArn"} & set(run.names)


def test_a_first_endpoint_that_does_not_come_up_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [*Run.missing(), Run.endpoint("Failed")]
    run = Run(monkeypatch, describeEndpoint=polls)
    assert run.execution["status"] == "FAILED"
    assert run.names[-2:] == ["deleteEndpoint", "ConcludeTrainingFunctionArn"]
    assert "is Failed: no reason given" in run.conclusion["failure"]["Cause"]


def test_when_the_smoke_test_fails_the_champions_configuration_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polls = [
        Run.endpoint(config="old"),
        Run.endpoint(),
        Run.endpoint("Updating"),
        Run.endpoint(config="old"),
    ]
    broken = failure("SmokeTestFailed", '{"errorMessage": "wrong labels"}')
    answers = [{"images": 3}, broken]
    run = Run(monkeypatch, describeEndpoint=polls, SmokeTestEndpointFunctionArn=answers)
    assert run.execution["status"] == "FAILED"
    assert run.last("updateEndpoint")["EndpointConfigName"] == "old"
    assert run.names[-4:] == [
        "updateEndpoint",
        "describeEndpoint",
        "describeEndpoint",
        "ConcludeTrainingFunctionArn",
    ]
    assert run.conclusion["failure"]["Error"] == "SmokeTestFailed"


def test_an_update_that_sagemaker_rolled_back_needs_no_undoing(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint(config="old"), Run.endpoint("Updating", "old"), Run.endpoint(config="old")]
    run = Run(monkeypatch, describeEndpoint=polls)
    assert run.execution["status"] == "FAILED"
    assert run.names.count("updateEndpoint") == 1
    assert run.conclusion["failure"]["Error"] == "EndpointRolledBack"


def test_an_endpoint_whose_creation_failed_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [Run.endpoint("Failed", "old"), Run.endpoint("Creating"), Run.endpoint()]
    run = Run(monkeypatch, describeEndpoint=polls)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names[9:12] == ["describeEndpoint", "deleteEndpoint", "createEndpoint"]


def test_an_endpoint_that_never_comes_up_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [*Run.missing(), Run.endpoint("Creating")]
    run = Run(monkeypatch, describeEndpoint=polls)
    assert run.execution["status"] == "FAILED"
    assert run.names.count("describeEndpoint") < 400
    assert run.names[-2:] == ["deleteEndpoint", "ConcludeTrainingFunctionArn"]


def test_a_failure_to_conclude_still_tells_the_first_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(
        monkeypatch,
        **{
            "createTrainingJob.sync": failure("States.TaskFailed", "it broke"),
            "ConcludeTrainingFunctionArn": failure("Lambda.Unknown", "gone"),
        },
    )
    assert (run.execution["error"], run.execution["cause"]) == ("States.TaskFailed", "it broke")


def test_an_existing_package_group_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = failure("SageMaker.SageMakerException", "Model Package Group already exists")
    run = Run(monkeypatch, createModelPackageGroup=exists)
    assert run.execution["status"] == "SUCCEEDED"


def test_a_package_group_that_could_not_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = failure("SageMaker.SageMakerException", "Rate exceeded")
    run = Run(monkeypatch, createModelPackageGroup=[busy, {"ModelPackageGroupArn": "arn:group"}])
    assert run.names.count("createModelPackageGroup") == 2
    assert run.execution["status"] == "SUCCEEDED"


def test_a_model_is_registered_with_what_explains_it(monkeypatch: pytest.MonkeyPatch) -> None:
    package = Run(monkeypatch).last("createModelPackage")
    assert package["ModelApprovalStatus"] == "Approved"
    assert package["CustomerMetadataProperties"] == {**PLAN["registry"], "score": "0.9"}


# What a person decides ------------------------------------------------------------------------------


def test_a_candidate_that_a_person_has_to_approve_waits_in_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = {"outcome": "wait", "reason": "good; it waits for approval"}
    run = Run(monkeypatch, BeginReleaseFunctionArn=wait)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.last("createModelPackage")["ModelApprovalStatus"] == "PendingManualApproval"
    assert not {"deleteModel", "createEndpointConfig"} & set(run.names)
    assert run.conclusion == {
        "project": "digits",
        "execution": EXECUTION,
        "correlation_id": JOB,
        "outcome": "awaiting_approval",
        "version": "0001",
        "reason": "good; it waits for approval",
        "score": 0.9,
        "champion_score": None,
        "model_package_arn": "arn:package",
    }


def test_a_candidate_that_no_approval_could_release_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    drop = {"outcome": "drop", "reason": "good; it was compared with 0002, and 0001 answers now"}
    run = Run(monkeypatch, BeginReleaseFunctionArn=drop)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.last("createModelPackage")["ModelApprovalStatus"] == "Rejected"
    assert (run.conclusion["outcome"], run.conclusion["reason"]) == ("rejected", drop["reason"])


def test_a_turn_waits_while_another_execution_changes_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {"outcome": "busy", "reason": "another execution changes the endpoint"}
    run = Run(
        monkeypatch,
        BeginReleaseFunctionArn=[busy, busy, GO],
    )
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names.count("BeginReleaseFunctionArn") == 3
    run = Run(monkeypatch, BeginReleaseFunctionArn=busy)
    assert run.execution["error"] == "ReleaseTookTooLong"


ASKED = {"project": "digits", "version": "0001", "request": "r-1", "kind": "rollback", "by": "ann"}
EXISTS = 'Cannot create already existing {} "arn:aws:sagemaker:us-east-1:000000000000:{}".'


def released(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> Run:
    exist = {
        name: failure("SageMaker.SageMakerException", EXISTS.format(what, what))
        for name, what in (("createModel", "model"), ("createEndpointConfig", "endpoint configuration"))
    }
    polls = [Run.endpoint(config="now"), Run.endpoint()]
    given: dict[str, Any] = {"BeginReleaseFunctionArn": RELEASE, "describeEndpoint": polls, **exist}
    return Run(monkeypatch, asked=ASKED, **{**given, **answers})


def test_what_a_person_asked_for_is_released_without_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    run = released(monkeypatch)
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names == [
        "BeginReleaseFunctionArn",
        *["createModel"] * 3,
        *["createEndpointConfig"] * 3,
        "describeEndpoint",
        "deleteRehearsal",
        "createRehearsal",
        "describeRehearsal",
        "SmokeTestEndpointFunctionArn",
        "deleteRehearsal",
        "updateEndpoint",
        "describeEndpoint",
        "SmokeTestEndpointFunctionArn",
        "ConcludeTrainingFunctionArn",
    ]
    assert run.last("BeginReleaseFunctionArn")["request"] == "r-1"
    assert (run.conclusion["request"], run.conclusion["outcome"]) == ("r-1", "promoted")
    assert run.conclusion["reason"] == "ann rolled back to model 0001"


def test_a_model_that_was_deleted_when_it_was_rejected_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    run = released(monkeypatch, createModel={}, createEndpointConfig={})
    assert run.execution["status"] == "SUCCEEDED"
    assert run.last("createModel")["PrimaryContainer"]["ModelDataUrl"] == "s3://workspace/model.tar.gz"


@pytest.mark.parametrize("step", ["BeginReleaseFunctionArn", "createModel", "createEndpointConfig"])
def test_a_release_that_fails_before_the_endpoint_changes_says_why(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = released(monkeypatch, **{step: failure("States.TaskFailed", "it broke")})
    assert run.execution["status"] == "FAILED"
    assert run.conclusion == {
        "project": "digits",
        "execution": EXECUTION,
        "correlation_id": None if step == "BeginReleaseFunctionArn" else JOB,
        "request": "r-1",
        "outcome": "failed",
        "version": "0001",
        "failure": {"Error": "States.TaskFailed", "Cause": "it broke"},
    }
    assert "updateEndpoint" not in run.names


def test_a_model_that_comes_back_and_does_not_pass_its_smoke_test_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = failure("SmokeTestFailed", '{"errorMessage": "wrong labels"}')
    polls = [Run.endpoint(config="now"), Run.endpoint(), Run.endpoint(config="now")]
    answers = [{"images": 3}, broken]
    run = released(monkeypatch, describeEndpoint=polls, SmokeTestEndpointFunctionArn=answers)
    assert run.execution["status"] == "FAILED"
    assert run.last("updateEndpoint")["EndpointConfigName"] == "now"
    assert (run.conclusion["request"], run.conclusion["outcome"]) == ("r-1", "failed")


def test_a_release_that_was_done_already_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = released(monkeypatch, BeginReleaseFunctionArn={"outcome": "off", "reason": "it was done"})
    assert run.execution["status"] == "SUCCEEDED"
    assert run.names == ["BeginReleaseFunctionArn"]
