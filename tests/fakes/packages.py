"""The model registry's approvals, in memory."""

from dataclasses import dataclass, field

from loupe.ports import PackageApproval


@dataclass
class FakePackages:
    """Implements `loupe.ports.ApprovesPackages`."""

    approvals: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By the package's ARN: status and reason."""

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        self.approvals[package] = (status, reason)
