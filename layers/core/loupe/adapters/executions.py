"""Executions of state machines, behind `loupe.ports.loops.WatchesExecutions`."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


class StepFunctionsExecutions:
    """Asks Step Functions."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    def is_running(self, execution: str) -> bool:
        try:
            return self._client.describe_execution(executionArn=execution)["status"] == "RUNNING"
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ExecutionDoesNotExist", "InvalidArn"):
                return False
            raise StoreUnavailable(f"Step Functions did not tell about {execution}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"Step Functions could not be reached: {error}") from error
