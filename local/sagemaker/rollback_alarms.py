"""The CloudWatch alarms that a deployment is watched by, seen with the rights of the execution role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.home import REGION
from local.sagemaker.platform import SERVICE_PRINCIPAL, Platform


class AlarmsError(Exception):
    """The alarms can't be looked at; the text says why."""


class WatchesAlarms(Protocol):
    """The alarms of one deployment."""

    def states(self) -> dict[str, str]:
        """StateValue by the name of the alarm, of those that exist. Raises AlarmsError."""


FindAlarms = Callable[[str, Sequence[str]], WatchesAlarms]
"""The alarms of these names (the second), for an execution role's ARN (the first)."""


class RoleAlarms:
    """Alarms as the execution role sees them, which has to be allowed cloudwatch:DescribeAlarms."""

    def __init__(self, platform: Platform, role_arn: str, names: Sequence[str]) -> None:
        self._names = list(names)
        keys = platform.role_credentials(role_arn, SERVICE_PRINCIPAL, "SageMaker-alarms")
        self._role = role_arn
        self._client = keys and boto3.client(
            "cloudwatch",
            region_name=REGION,
            endpoint_url=platform.endpoint_url,
            config=Config(retries={"total_max_attempts": 3}),
            aws_access_key_id=keys["aws_access_key_id"],
            aws_secret_access_key=keys["aws_secret_access_key"],
            aws_session_token=keys["aws_session_token"],
        )

    def states(self) -> dict[str, str]:
        if not self._client:
            raise AlarmsError(f"SageMaker may not assume role {self._role}, so as to describe alarms")
        try:
            found = self._client.describe_alarms(
                AlarmNames=self._names, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        except (ClientError, BotoCoreError) as error:
            raise AlarmsError(f"Cannot describe the alarms {', '.join(self._names)}: {error}") from error
        alarms = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
        return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
