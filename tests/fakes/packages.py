"""The model registry's approvals, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loupe.ports.models import PackageApproval


@dataclass
class FakePackages:
    """Implements `loupe.ports.models.ApprovesPackages`."""

    approvals: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By the package's ARN: status and reason."""

    def describe(self, package: str) -> Mapping[str, Any]:
        return {"ModelApprovalStatus": self.approvals[package][0]} if package in self.approvals else {}

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        self.approvals[package] = (status, reason)
