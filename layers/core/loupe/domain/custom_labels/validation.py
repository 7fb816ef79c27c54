"""Rekognition Custom Labels' rules for manifests and datasets, checked before anything is paid for.

Manifests are read line by line: of 250,000 rows little more than a number each is kept.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from loupe.domain.custom_labels.datasets import (
    DatasetState,
    check_dataset,
    check_labels,
    check_to_distribute,
)
from loupe.domain.custom_labels.manifests import custom_labels_row
from loupe.domain.custom_labels.report import Dataset, Finding, Report
from loupe.domain.custom_labels.rows import (
    CLASSIFICATION,
    DETECTION,
    Problem,
    check_attributes,
    check_size,
    is_bad,
    labels_of,
    read_row,
)
from loupe.domain.manifests import InvalidManifest, Row, S3Uri
from loupe.domain.projects import TaskType

MAX_IMAGE_BYTES = 15_000_000

_FINDINGS_KEPT = 100
"""Findings of each code that a report tells one by one."""
_FORMATS = ("png", "jpeg")


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


class Validation:
    """Checks a TRAIN and a TEST dataset as they are written.

    `task` is the project's, `bucket` the one that images must lie in, `unfit` what `unfit_images` found.
    """

    def __init__(self, task: TaskType, bucket: str, unfit: Mapping[str, str]) -> None:
        self._task = task
        self._type = DETECTION if task == "bounding-box" else CLASSIFICATION
        self._bucket = bucket
        self._unfit = unfit
        self._datasets: dict[Dataset, DatasetState] = {"train": DatasetState()}
        self._seen: dict[int, Dataset] = {}
        self._distinct = 0
        self._codes: Counter[str] = Counter()
        self._findings: list[Finding] = []

    def usable(self, dataset: Dataset, manifest: str, lines: Iterable[str]) -> Iterator[str]:
        """The lines that Rekognition gets of a manifest of Loupe's, each with its newline; to be called for
        each manifest of a dataset."""
        state = self._datasets.setdefault(dataset, DatasetState())
        for number, line in enumerate(lines, start=1):
            state.count.rows += 1
            problems, row = self._check(dataset, state, line)
            for code, detail in problems:
                self._tell(Finding(code, manifest, number, detail))
            if is_bad(problems):
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
            for finding in check_dataset(dataset, state, self._type, self._bucket):
                self._tell(finding)
        for finding in self._check_labels(distributed):
            self._tell(finding)
        counts = {dataset: state.count for dataset, state in self._datasets.items()}
        return Report(counts, dict(self._codes), tuple(self._findings))

    def _check_labels(self, distributed: bool) -> Iterator[Finding]:
        train = self._datasets["train"]
        if distributed:
            return check_to_distribute(train)
        return check_labels(train, self._datasets.get("test", DatasetState()))

    def _tell(self, finding: Finding) -> None:
        self._codes[finding.code] += 1
        if self._codes[finding.code] <= _FINDINGS_KEPT:
            self._findings.append(finding)

    # Rows

    def _check(self, dataset: Dataset, state: DatasetState, line: str) -> tuple[list[Problem], Row]:
        source = read_row(line)
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
            *check_attributes(row, self._type),
        ]
        labels = set(labels_of(row))
        state.labels |= labels
        if not is_bad(problems):
            state.images_of.update(labels)
        return problems, row

    def _check_known(self, dataset: Dataset, reference: str) -> Iterator[Problem]:
        image = hash(reference)
        earlier = self._seen.setdefault(image, dataset)
        if earlier != dataset:
            yield "IMAGE_IN_BOTH_DATASETS", f"{reference} is in the {earlier} dataset, too"
        elif len(self._seen) == self._distinct:
            yield "DUPLICATE_SOURCE_REF", f"{reference} is in the {dataset} dataset already"
        self._distinct = len(self._seen)

    def _check_image(self, source: Row) -> Iterator[Problem]:
        unfit = self._unfit.get(source.get("image-sha256", ""))
        if unfit is not None:
            yield "ERROR_INVALID_IMAGE", unfit
        yield from check_size(source, self._type)
