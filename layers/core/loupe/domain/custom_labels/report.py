"""What a validation of manifests for Rekognition Custom Labels tells."""

from dataclasses import dataclass
from typing import Any, Literal

from loupe.domain.custom_labels.codes import MENDING, scope
from loupe.domain.errors import Conflict

Dataset = Literal["train", "test"]


class ManifestsRefused(Conflict):
    """Rekognition would refuse the manifests, or most of what is in them; the message says why."""

    slug, title = "manifests-refused", "Rekognition Custom Labels can't train on this dataset version"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, by code and in words; `line` is None for what concerns all of `manifest`."""

    code: str
    manifest: str
    line: int | None
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {
            "manifest": self.manifest,
            "line": self.line,
            "code": self.code,
            "detail": self.detail,
            "mend": MENDING[self.code],
        }


@dataclass
class DatasetCount:
    """Rows of one dataset: `used` are those that Rekognition gets, `bad` those that it would drop, `warned`
    valid ones that it does not train on. `bytes` is the size of what it gets."""

    rows: int = 0
    used: int = 0
    bad: int = 0
    warned: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, int]:
        return dict(vars(self))


@dataclass(frozen=True)
class Report:
    """What the validation found. `codes` counts findings by code; of each code the first hundred are told
    one by one. `refusals` say in words why nothing can be trained; empty if it can."""

    datasets: dict[Dataset, DatasetCount]
    codes: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def refusals(self) -> list[str]:
        return [f"{f.detail} ({f.code}): {MENDING[f.code]}" for f in self.findings if _refuses(f)]

    @property
    def ok(self) -> bool:
        """Whether Rekognition would train, on what is left after the bad rows."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "datasets": {name: count.to_json() for name, count in self.datasets.items()},
            "codes": self.codes,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def require(self) -> None:
        """Raises `ManifestsRefused` unless Rekognition would train."""
        if self.refusals:
            raise ManifestsRefused("; ".join(self.refusals))


def _refuses(finding: Finding) -> bool:
    return scope(finding.code) in ("manifest", "file")
