"""Rekognition Custom Labels' rules for manifests and datasets, checked before anything is paid for.

Manifests are read line by line: of 250,000 rows little more than a number each is kept.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loupe.domain.custom_labels_codes import MENDING, scope
from loupe.domain.custom_labels_manifests import custom_labels_row
from loupe.domain.errors import Conflict
from loupe.domain.manifests import MAX_LINE_CHARACTERS, InvalidManifest, Row, S3Uri
from loupe.domain.projects import TaskType

MAX_ROWS = 250_000
MAX_MANIFEST_BYTES = 1_000_000_000
MAX_IMAGE_BYTES = 15_000_000
MIN_SIDE, MAX_SIDE, MAX_ASPECT = 64, 4_096, 20
MAX_BOXES = 50
MAX_LABELS = 250
MAX_LABEL_CHARACTERS = 256
MAX_BAD_SHARE = 0.2
"""More bad rows than this fail the import of a manifest; blank lines are bad rows."""
MIN_OVERLAP = 0.5
"""Share of the trained labels that must occur in the test dataset."""

_TRAINED_SIDE = 1_280
"""Pixels to which training reduces an image's longest side."""
_MIN_TO_DISTRIBUTE = 2
"""Images of a label, so that training and test can have one each."""
_FINDINGS_KEPT = 100
"""Findings of each code that a report tells one by one."""

_FORMATS = ("png", "jpeg")
_CLASSIFICATION, _DETECTION = "groundtruth/image-classification", "groundtruth/object-detection"

_NUMBER = (int, float)

Dataset = Literal["train", "test"]
_Problem = tuple[str, str]
"""A code, and what is wrong in words."""


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


def unfit_images(label_lines: Iterable[str]) -> dict[str, str]:
    """What is wrong with images that no manifest shows, by SHA-256; from the lines of label files."""
    unfit = {}
    for text in label_lines:
        line = json.loads(text)
        size, kind = line.get("bytes", 0), line.get("format", "png")
        if size > MAX_IMAGE_BYTES:
            unfit[line["sha256"]] = f"the image has {size:,} bytes"
        elif kind not in _FORMATS:
            unfit[line["sha256"]] = f"the image is a {kind}"
    return unfit


@dataclass
class _DatasetState:
    """What has been seen of one dataset so far."""

    count: DatasetCount = field(default_factory=DatasetCount)
    buckets: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    images_of: Counter[str] = field(default_factory=Counter)


class Validation:
    """Checks a TRAIN and a TEST dataset as they are written.

    `task` is the project's, `bucket` the one that images must lie in, `unfit` what `unfit_images` found.
    """

    def __init__(self, task: TaskType, bucket: str, unfit: Mapping[str, str]) -> None:
        self._task = task
        self._type = _DETECTION if task == "bounding-box" else _CLASSIFICATION
        self._bucket = bucket
        self._unfit = unfit
        self._datasets: dict[Dataset, _DatasetState] = {"train": _DatasetState()}
        self._seen: dict[int, Dataset] = {}
        self._distinct = 0
        self._codes: Counter[str] = Counter()
        self._findings: list[Finding] = []

    def usable(self, dataset: Dataset, manifest: str, lines: Iterable[str]) -> Iterator[str]:
        """The lines that Rekognition gets of a manifest of Loupe's, each with its newline; to be called for
        each manifest of a dataset."""
        state = self._datasets.setdefault(dataset, _DatasetState())
        for number, line in enumerate(lines, start=1):
            state.count.rows += 1
            problems, row = self._check(dataset, state, line)
            for code, detail in problems:
                self._tell(Finding(code, manifest, number, detail))
            if _is_bad(problems):
                state.count.bad += 1
                continue
            state.count.warned += bool(problems)
            if len(row) == 1:  # an image without label: valid, and of no use
                continue
            text = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
            state.count.used += 1
            state.count.bytes += len(text.encode())
            yield text

    def missing(self, manifest: str) -> None:
        """Take note of a manifest that is not there."""
        self._tell(
            Finding(
                "ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT",
                manifest,
                None,
                f"{manifest} is not there",
            )
        )

    def report(self, distributed: bool) -> Report:
        """What was found, once all lines were read. `distributed`: Rekognition picks the test images."""
        for dataset, state in self._datasets.items():
            for finding in self._check_dataset(dataset, state):
                self._tell(finding)
        for finding in self._check_labels(distributed):
            self._tell(finding)
        counts = {dataset: state.count for dataset, state in self._datasets.items()}
        return Report(counts, dict(self._codes), tuple(self._findings))

    def _tell(self, finding: Finding) -> None:
        self._codes[finding.code] += 1
        if self._codes[finding.code] <= _FINDINGS_KEPT:
            self._findings.append(finding)

    # Rows

    def _check(self, dataset: Dataset, state: _DatasetState, line: str) -> tuple[list[_Problem], Row]:
        source = _read(line)
        if isinstance(source, str):
            return [("ERROR_INVALID_JSON_LINE", source)], {}
        row = custom_labels_row(source, self._task)
        reference = row.get("source-ref")
        if reference is None:
            return [("ERROR_MISSING_SOURCE_REF", "source-ref is missing")], row
        try:
            uri = S3Uri.parse(reference)
        except (InvalidManifest, AttributeError):
            return [("ERROR_INVALID_SOURCE_REF_FORMAT", f"source-ref is {reference!r}")], row
        state.buckets.add(uri.bucket)
        problems = [
            *self._check_known(dataset, reference),
            *self._check_image(source),
            *_check_attributes(row, self._type),
        ]
        labels = set(_labels(row))
        state.labels |= labels
        if not _is_bad(problems):
            state.images_of.update(labels)
        return problems, row

    def _check_known(self, dataset: Dataset, reference: str) -> Iterator[_Problem]:
        image = hash(reference)
        earlier = self._seen.setdefault(image, dataset)
        if earlier != dataset:
            yield "IMAGE_IN_BOTH_DATASETS", f"{reference} is in the {earlier} dataset, too"
        elif len(self._seen) == self._distinct:
            yield "DUPLICATE_SOURCE_REF", f"{reference} is in the {dataset} dataset already"
        self._distinct = len(self._seen)

    def _check_image(self, source: Row) -> Iterator[_Problem]:
        unfit = self._unfit.get(source.get("image-sha256", ""))
        if unfit is not None:
            yield "ERROR_INVALID_IMAGE", unfit
        width, height = source.get("image-width"), source.get("image-height")
        if not isinstance(width, int) or not isinstance(height, int):
            return
        short, long = sorted((width, height))
        if short < MIN_SIDE or long > MAX_SIDE:
            code = "ERROR_INVALID_IMAGE_DIMENSION" if self._type == _DETECTION else "ERROR_INVALID_IMAGE"
            yield code, f"the image has {width} by {height} pixels"
        elif long > MAX_ASPECT * short:
            yield "ERROR_INVALID_IMAGE", f"the image has {width} by {height} pixels, more than 20:1"

    # Datasets

    def _check_dataset(self, dataset: Dataset, state: _DatasetState) -> Iterator[Finding]:
        def found(code: str, detail: str) -> Finding:
            return Finding(code, dataset, None, detail)

        count = state.count
        if not count.used:
            yield found("ERROR_EMPTY_MANIFEST", f"the {dataset} dataset has no row that can be used")
        if count.rows > MAX_ROWS:
            yield found(
                "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM", f"the {dataset} dataset has {count.rows:,} rows"
            )
        if count.bytes > MAX_MANIFEST_BYTES:
            yield found("ERROR_MANIFEST_SIZE_TOO_LARGE", f"the {dataset} manifest has {count.bytes:,} bytes")
        if count.bad > MAX_BAD_SHARE * count.rows:
            yield found(
                "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST",
                f"{count.bad:,} of {count.rows:,} rows of the {dataset} dataset are bad",
            )
        if len(state.buckets) > 1:
            yield found(
                "ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS",
                f"the {dataset} dataset has images in {', '.join(sorted(state.buckets))}",
            )
        elif state.buckets - {self._bucket}:
            yield found(
                "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET",
                f"images of the {dataset} dataset are in {min(state.buckets)}, not in {self._bucket}",
            )
        least = 1 if self._type == _DETECTION else 2
        if len(state.labels) > MAX_LABELS:
            yield found(
                "ERROR_MANIFEST_TOO_MANY_LABELS", f"the {dataset} dataset has {len(state.labels)} labels"
            )
        elif len(state.labels) < least:
            yield found(
                "ERROR_MANIFEST_TOO_FEW_LABELS", f"the {dataset} dataset has {len(state.labels)} labels"
            )
        elif len(state.images_of) < least:
            yield found(
                "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS",
                f"the {dataset} dataset has {len(state.images_of)} labels without its bad rows",
            )

    def _check_labels(self, distributed: bool) -> Iterator[Finding]:
        train = self._datasets["train"]
        if distributed:
            rare = sorted(label for label, images in train.images_of.items() if images < _MIN_TO_DISTRIBUTE)
            if rare:
                yield Finding(
                    "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE",
                    "train",
                    None,
                    f"one image alone is labeled {', '.join(map(repr, rare))}",
                )
            return
        test = self._datasets.get("test", _DatasetState())
        for code, trained, tested in (
            ("ERROR_INSUFFICIENT_LABEL_OVERLAP", train.labels, test.labels),
            ("ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP", set(train.images_of), set(test.images_of)),
        ):
            lacking = sorted(trained - tested)
            if trained and len(lacking) > (1 - MIN_OVERLAP) * len(trained):
                told = (
                    f"{len(lacking)} of {len(trained)} labels have no test image: {', '.join(lacking[:10])}"
                )
                yield Finding(code, "test", None, told)
                return


def _is_bad(problems: list[_Problem]) -> bool:
    return any(scope(code) == "row" for code, _ in problems)


def _read(line: str) -> Row | str:
    """The row, or what is wrong with the line."""
    if len(line) > MAX_LINE_CHARACTERS:
        return f"the line has {len(line):,} characters"
    if not line.strip():
        return "the line is blank"
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"the line is not JSON: {error}"
    return row if isinstance(row, dict) else "the line is not an object"


def _labels(row: Row) -> Iterator[str]:
    """Labels that a row names, as far as it can be read."""
    for name, metadata in row.items():
        if not name.endswith("-metadata") or not isinstance(metadata, dict):
            continue
        if isinstance(metadata.get("class-name"), str):
            yield metadata["class-name"]
        if isinstance(metadata.get("class-map"), dict):
            yield from map(str, metadata["class-map"].values())


def _check_attributes(row: Row, expected: str) -> Iterator[_Problem]:
    """What is wrong with the label attributes of a row whose source-ref is right."""
    names = {name.removesuffix("-metadata") for name in row if name != "source-ref"}
    if not names:
        yield "WARNING_UNANNOTATED_RECORD", "the image has no label"
        return
    supported = False
    for name in sorted(names):
        content, metadata = row.get(name), row.get(f"{name}-metadata")
        if content is None or metadata is None:
            lacking = name if content is None else f"{name}-metadata"
            yield "ERROR_NO_LABEL_ATTRIBUTES", f"{lacking} is missing"
            return
        fault = _metadata_fault(metadata)
        if fault:
            yield "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", f"{name}-metadata: {fault}"
            return
        kind = metadata["type"]
        if kind != expected:
            yield "ERROR_UNSUPPORTED_USE_CASE_TYPE", f"{name}-metadata: type is {kind}, not {expected}"
            continue
        supported = True
        check = _check_boxes if kind == _DETECTION else _check_class
        yield from check(name, content, metadata)
    if not supported:
        yield "ERROR_NO_VALID_LABEL_ATTRIBUTES", f"no attribute is of the type {expected}"


def _metadata_fault(metadata: Any) -> str | None:
    """What all metadata has, of whatever type."""
    if not isinstance(metadata, dict):
        return "it is not an object"
    if not isinstance(metadata.get("type"), str):
        return "type is missing"
    if metadata.get("human-annotated") not in ("yes", "no"):
        return "human-annotated is neither yes nor no"
    if not isinstance(metadata.get("creation-date"), str):
        return "creation-date is missing"
    return None


def _check_class(name: str, content: Any, metadata: Row) -> Iterator[_Problem]:
    if isinstance(content, bool) or not (isinstance(content, int) or _is_digits(content)):
        yield "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", f"{name} is {content!r}, not the number of a class"
    label, confidence = metadata.get("class-name"), metadata.get("confidence")
    if not isinstance(label, str) or not label:
        yield "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", f"{name}-metadata: class-name is missing"
    elif len(label) > MAX_LABEL_CHARACTERS:
        yield "ERROR_INVALID_LABEL_NAME_LENGTH", f"{label[:40]!r}... has {len(label)} characters"
    if not _is_confidence(confidence):
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
            f"{name}-metadata: confidence is {confidence!r}, not between 0 and 1",
        )


def _check_boxes(name: str, content: Any, metadata: Row) -> Iterator[_Problem]:
    size, boxes = _boxes_in(content)
    if size is None or boxes is None:
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
            f"{name} has no image_size or annotations that can be read",
        )
        return
    objects, names = metadata.get("objects"), metadata.get("class-map")
    if not isinstance(objects, list) or not isinstance(names, dict):
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
            f"{name}-metadata: objects or class-map is missing",
        )
        return
    if not boxes:
        yield "WARNING_NO_ATTRIBUTE_ANNOTATIONS", f"{name} has no box"
        if metadata["human-annotated"] == "yes":
            yield "WARNING_NO_ANNOTATIONS", "the image has no box"
        return
    sure = [each for each in objects if isinstance(each, dict) and _is_confidence(each.get("confidence"))]
    if len(sure) < len(boxes):
        yield (
            "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE",
            f"{len(sure)} confidences for {len(boxes)} boxes of {name}",
        )
    unnamed = sorted({str(box["class_id"]) for box in boxes} - set(names))
    if unnamed:
        yield "ERROR_MISSING_CLASS_MAP_ID", f"{name}-metadata: class-map lacks class {', '.join(unnamed)}"
    long = [label for label in map(str, names.values()) if len(label) > MAX_LABEL_CHARACTERS]
    if long:
        yield "ERROR_INVALID_LABEL_NAME_LENGTH", f"{long[0][:40]!r}... has {len(long[0])} characters"
    if len(boxes) > MAX_BOXES:
        yield "ERROR_TOO_MANY_BOUNDING_BOXES", f"{name} has {len(boxes)} boxes"
    yield from _check_each_box(boxes, size)


def _check_each_box(boxes: list[Row], size: tuple[float, float]) -> Iterator[_Problem]:
    width, height = size
    scale = min(1.0, _TRAINED_SIDE / max(width, height))
    wrong = 0
    for number, box in enumerate(boxes):
        left, top, wide, high = box["left"], box["top"], box["width"], box["height"]
        if min(left, top, wide, high) < 0 or left + wide > width or top + high > height:
            wrong += 1
            yield (
                "ERROR_INVALID_BOUNDING_BOX",
                f"annotations[{number}] reaches beyond {width:g} by {height:g} pixels",
            )
        elif min(wide, high) * scale <= 1:
            wrong += 1
            yield (
                "ERROR_BOUNDING_BOX_TOO_SMALL",
                f"annotations[{number}] has {wide:g} by {high:g} pixels",
            )
    if wrong == len(boxes):
        yield "ERROR_NO_VALID_ANNOTATIONS", "no box of the image is valid"


def _boxes_in(content: Any) -> tuple[tuple[float, float] | None, list[Row] | None]:
    """The size of the image and its boxes; None for what can't be read."""
    match content:
        case {
            "image_size": [{"width": int() | float() as width, "height": int() | float() as height}, *_]
        } if width > 0 and height > 0:
            size = float(width), float(height)
        case _:
            return None, None
    boxes = content.get("annotations")
    if not isinstance(boxes, list) or not all(map(_is_box, boxes)):
        return size, None
    return size, boxes


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, dict)
        and (isinstance(box.get("class_id"), int) or _is_digits(box.get("class_id")))
        and isinstance(box.get("left"), _NUMBER)
        and isinstance(box.get("top"), _NUMBER)
        and isinstance(box.get("width"), _NUMBER)
        and isinstance(box.get("height"), _NUMBER)
    )


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()


def _is_confidence(value: Any) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and 0 <= value <= 1
