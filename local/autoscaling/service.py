"""The service as the cloud sees it: requests, answers, errors and permissions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from local import json_protocol
from local.autoscaling.errors import AutoScalingError, NotAvailableError, ValidationError
from local.autoscaling.resources import LINKED_SERVICE, SERVICE_LINKED_ROLE, VariantId, target_arn
from local.autoscaling.targets import FindVariant, ScalableTargets
from local.emulator import AddedService, Emulator, Permission, Request, Response
from local.home import ACCOUNT_ID, REGION
from local.sagemaker.arns import arn
from local.sagemaker.store import Document
from local.validation import api_model

_SERVICE = "application-autoscaling"
_ALARMS = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:"
_CHANGES = ("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy", "DeleteScalingPolicy")


class AutoScaling:
    """Application Auto Scaling, as a service of the emulator."""

    def __init__(self, emulator: Emulator, targets: ScalableTargets, find_variant: FindVariant) -> None:
        self._emulator = emulator
        self._operations: dict[str, Callable[[Document], Document]] = {
            "DeleteScalingPolicy": targets.delete_policy,
            "DeregisterScalableTarget": targets.deregister,
            "DescribeScalableTargets": targets.describe,
            "DescribeScalingPolicies": targets.describe_policies,
            "PutScalingPolicy": targets.put_policy,
            "RegisterScalableTarget": lambda request: targets.register(request, find_variant),
        }

    def register(self) -> None:
        """Make the emulator answer for Application Auto Scaling; before it starts to serve."""
        self._emulator.add(
            AddedService(
                name=_SERVICE,
                target_prefix="AnyScaleFrontendService",
                handle=self.handle,
                resource=resource,
                passed_roles=passed_roles,
                also_needs=also_needs,
                sdk_name="ApplicationAutoScaling",
                task_name="applicationautoscaling",
                error_names={},
            )
        )

    def resume(self) -> None:
        """Nothing runs here."""

    def stop(self) -> None:
        """Nothing runs here."""

    async def handle(self, request: Request) -> Response:
        """Off the event loop: answers wait for locks and the disk."""
        return await asyncio.to_thread(self._handle, request)

    def _handle(self, request: Request) -> Response:
        try:
            return json_protocol.success(self._call(request.operation, json.loads(request.body or b"{}")))
        except AutoScalingError as error:
            return json_protocol.refusal(error)
        except ValueError as error:
            return json_protocol.failure(400, "SerializationException", str(error))

    def _call(self, operation: str, parameters: Document) -> Document:
        model = api_model(_SERVICE)
        if operation not in self._operations:
            raise NotAvailableError(operation or "a request without X-Amz-Target")
        faults = model.faults(operation, parameters)
        if faults:
            raise ValidationError(faults)
        return model.only_members(operation, self._operations[operation](parameters))


def resource(request: Request) -> str:
    """The ARN that the caller's policies must allow; `*` for what describes."""
    if request.operation not in _CHANGES:
        return "*"
    return target_arn(str(_parameters(request).get("ResourceId", "")))


def passed_roles(request: Request) -> list[str]:
    """The role that is to scale, where one is named in place of the service-linked role."""
    role = _parameters(request).get("RoleARN")
    return [str(role)] if role else []


def also_needs(request: Request) -> list[Permission]:
    """What the caller must be allowed in the services behind this one.

    Application Auto Scaling user guide, "Permissions validation for API calls on target resources" and
    "Service-linked roles": it looks at the variant, scales it, makes its role, and manages alarms.
    """
    try:
        named = VariantId.of(str(_parameters(request).get("ResourceId", "")))
    except AutoScalingError:
        return []
    endpoint = arn("endpoint", named.endpoint)
    match request.operation:
        case "RegisterScalableTarget":
            return [
                ("sagemaker:DescribeEndpoint", endpoint, {}),
                ("sagemaker:UpdateEndpointWeightsAndCapacities", endpoint, {}),
                ("iam:CreateServiceLinkedRole", SERVICE_LINKED_ROLE, {"iam:AWSServiceName": LINKED_SERVICE}),
            ]
        case "PutScalingPolicy":
            alarms = f"{_ALARMS}TargetTracking-endpoint/{named.endpoint}/variant/{named.variant}"
            return [
                ("cloudwatch:DescribeAlarms", f"{_ALARMS}*", {}),
                ("cloudwatch:PutMetricAlarm", alarms, {}),
                ("cloudwatch:DeleteAlarms", alarms, {}),
            ]
        case _:
            return []


def _parameters(request: Request) -> Document:
    try:
        parameters = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}
