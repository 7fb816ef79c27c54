"""What an import would do: which labels are new, which differ from those there, and what is at fault.

An image is known by the SHA-256 of its bytes, and has one label in an import. Labels that change nothing are
left out, so that an import that is repeated has nothing left to do.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from loupe.domain.datasets.labels import accepted_jobs, label_lines, names_in_line
from loupe.domain.errors import DomainError
from loupe.domain.interchange.records import Findings, Labeled, Size
from loupe.domain.json_lines import read_line, write_line
from loupe.domain.label_values import (
    Boxes,
    InvalidLabel,
    LabelValue,
    OneLabel,
    SeveralLabels,
    UnknownLabel,
    check_value,
    read_value,
)
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.ports.objects import StoresObjects

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Current:
    """The label that an image has now; `digest` is None if there is none, as a review withdrew it. `is_test`:
    some job said that the image is to be in test."""

    digest: bytes | None
    labeled_at: datetime
    is_test: bool


def current_labels(project: str, task: TaskType, store: StoresObjects) -> dict[str, Current]:
    """The newest accepted label of each image, by SHA-256. A few hundred bytes an image."""
    found: dict[str, Current] = {}
    for text in label_lines(project, accepted_jobs(project, store), store):
        line = read_line(text)
        if "failure_reason" in line:
            continue
        sha256, labeled_at = line["sha256"], datetime.fromisoformat(line["labeled_at"])
        before = found.get(sha256)
        is_test = line.get("split") == "test" or (before is not None and before.is_test)
        if before and labeled_at < before.labeled_at:
            found[sha256] = replace(before, is_test=is_test)
            continue
        has_label = "withdrawn" not in line and names_in_line(line, task) is not None
        found[sha256] = Current(digest_of(read_value(task, line)) if has_label else None, labeled_at, is_test)
    return found


def digest_of(value: LabelValue) -> bytes:
    """Equal for values that say the same, whatever the order of their parts."""
    parts: object
    match value:
        case Boxes(boxes):
            parts = sorted((b.label, *map(float, (b.left, b.top, b.width, b.height))) for b in boxes)
        case _:
            parts = sorted(value.names)
    return hashlib.blake2b(write_line(parts), digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Planned:
    """One image's label in the import; `value` has pixels."""

    labeled: Labeled
    value: LabelValue
    sha256: str
    size: Size
    digest: bytes


@dataclass
class Plan:
    """`images` are all that the files say, by SHA-256; `to_import` are those of them that change something.
    `unknown_labels` counts images by labels that the project lacks.

    `labels` counts images to import by label, and `without_label` those that have none of them.
    """

    images: dict[str, Planned] = field(default_factory=dict)
    to_import: list[str] = field(default_factory=list)
    unknown_labels: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    without_label: int = 0
    new: int = 0
    replaced: int = 0
    same: int = 0
    outdated: int = 0
    designated: int = 0

    def fingerprint(self, task: TaskType, *, as_test: bool) -> str:
        """Tells this import from others: the same labels of the same images have the same one, 64
        hexadecimal digits."""
        digest = hashlib.sha256(json.dumps([task, as_test]).encode())
        for sha256, image in sorted(self.images.items()):
            at = image.labeled.labeled_at
            digest.update(bytes.fromhex(sha256) + image.digest + (at.isoformat().encode() if at else b"-"))
        return digest.hexdigest()


def make_plan(
    found: Iterable[tuple[Labeled, str, Size]],
    config: ProjectConfig,
    current: Mapping[str, Current],
    findings: Findings,
    *,
    renamed: Mapping[str, str],
    as_test: bool,
) -> Plan:
    """`found` are labels with the SHA-256 and the size of their image; `renamed` are labels of the files and
    what the project calls them. What is at fault goes to `findings`."""
    plan = Plan()
    spoiled: set[str] = set()
    for labeled, sha256, size in found:
        planned = _checked(labeled, sha256, size, config, findings, plan, renamed)
        if planned is None or sha256 in spoiled:
            continue
        chosen = _chosen(plan.images.get(sha256), planned, findings)
        if chosen is None:
            spoiled.add(sha256)
            del plan.images[sha256]
        else:
            plan.images[sha256] = chosen
    _compare(plan, current, as_test=as_test)
    return plan


def _checked(
    labeled: Labeled,
    sha256: str,
    size: Size,
    config: ProjectConfig,
    findings: Findings,
    plan: Plan,
    renamed: Mapping[str, str],
) -> Planned | None:
    try:
        value = _renamed(labeled.in_pixels(size), renamed)
        _check_repetition(value)
        check_value(value, config.labels, size)
    except UnknownLabel:
        plan.unknown_labels.update(set(value.names).difference(config.labels))
        return None
    except DomainError as error:
        findings.fault(labeled.file, labeled.line, f"{labeled.image}: {error.detail}")
        return None
    return Planned(labeled, value, sha256, size, digest_of(value))


def _check_repetition(value: LabelValue) -> None:
    if isinstance(value, SeveralLabels) and len(set(value.labels)) < len(value.labels):
        repeated = next(label for label in value.labels if value.labels.count(label) > 1)
        raise InvalidLabel(f"{repeated!r} stands more than once")


def _renamed(value: LabelValue, names: Mapping[str, str]) -> LabelValue:
    if not names:
        return value
    match value:
        case OneLabel(label):
            return OneLabel(names.get(label, label))
        case SeveralLabels(labels):
            return SeveralLabels(tuple(dict.fromkeys(names.get(label, label) for label in labels)))
        case Boxes(boxes):
            return Boxes(tuple(replace(box, label=names.get(box.label, box.label)) for box in boxes))


def _chosen(before: Planned | None, planned: Planned, findings: Findings) -> Planned | None:
    """Which of two labels of an image counts; None if nobody can tell."""
    if before is None:
        return planned
    if before.digest == planned.digest:
        findings.notes["labels of images that have the same one further up"] += 1
        return before
    earlier, later = before.labeled.labeled_at, planned.labeled.labeled_at
    if earlier and later and earlier != later:
        findings.notes["labels of images that have a newer one in the files"] += 1
        return planned if later > earlier else before
    findings.fault(
        planned.labeled.file,
        planned.labeled.line,
        f"{planned.labeled.image} has another label in {before.labeled.place}"
        + ("" if before.labeled.image == planned.labeled.image else f", as {before.labeled.image}"),
    )
    return None


def _compare(plan: Plan, current: Mapping[str, Current], *, as_test: bool) -> None:
    for sha256, planned in plan.images.items():
        known, at = current.get(sha256), planned.labeled.labeled_at
        if known is None or known.digest is None:
            plan.new += 1
        elif known.digest == planned.digest:
            plan.same += 1
            if not as_test or known.is_test:
                continue
            plan.designated += 1
        elif at and at < known.labeled_at:
            plan.outdated += 1
            if not as_test or known.is_test:
                continue
            plan.designated += 1
        else:
            plan.replaced += 1
        plan.to_import.append(sha256)
        plan.labels.update(set(planned.value.names))
        plan.without_label += not planned.value.names
