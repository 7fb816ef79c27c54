"""The functions of the state machine: what they read of their event, and what they answer."""

import io
import json
import tarfile
from typing import Any

import boto3
import pytest
from moto import mock_aws

from loupe.adapters.executions import StepFunctionsExecutions
from loupe.adapters.trainer_source import trainer_source
from loupe.domain.training.turns import Result


def test_the_trainers_source_is_flat_and_always_the_same_bytes() -> None:
    source = trainer_source()
    assert source == trainer_source()
    with tarfile.open(fileobj=io.BytesIO(source)) as archive:
        names = archive.getnames()
    assert {"train.py", "inference.py"} <= set(names)
    assert all(name.endswith(".py") and "/" not in name for name in names)


def test_what_the_state_machine_sends_is_a_result() -> None:
    sent: dict[str, Any] = json.loads(
        '{"project": "digits", "execution": "arn", "outcome": "failed", "version": null,'
        ' "failure": {"Error": "E", "Cause": "C"}}'
    )
    assert Result(**sent) == Result("digits", "arn", "failed", failure={"Error": "E", "Cause": "C"})


@pytest.mark.parametrize("arn", ["arn:aws:states:us-east-1:123456789012:execution:loop:gone"])
def test_an_execution_that_nobody_knows_does_not_run(arn: str) -> None:
    with mock_aws():
        client = boto3.client("stepfunctions", region_name="us-east-1")
        assert not StepFunctionsExecutions(client).is_running(arn)


def test_an_execution_runs_until_it_was_stopped() -> None:
    with mock_aws():
        client = boto3.client("stepfunctions", region_name="us-east-1")
        machine = client.create_state_machine(
            name="loop",
            definition='{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}',
            roleArn="arn:aws:iam::123456789012:role/loop",
        )
        execution = client.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
        executions = StepFunctionsExecutions(client)
        assert executions.is_running(execution)
        client.stop_execution(executionArn=execution)
        assert not executions.is_running(execution)
