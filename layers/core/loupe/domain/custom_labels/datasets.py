"""Rekognition Custom Labels' rules for whole datasets: their size, their labels, and where images lie."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from loupe.domain.custom_labels.report import Dataset, DatasetCount, Finding
from loupe.domain.custom_labels.rows import DETECTION

MAX_ROWS = 250_000
MAX_MANIFEST_BYTES = 1_000_000_000
MAX_LABELS = 250
MAX_BAD_SHARE = 0.2
"""More bad rows than this fail the import of a manifest; blank lines are bad rows."""
MIN_OVERLAP = 0.5
"""Share of the trained labels that must occur in the test dataset."""

_MIN_TO_DISTRIBUTE = 2
"""Images of a label, so that training and test can have one each."""


@dataclass
class DatasetState:
    """What has been seen of one dataset so far."""

    count: DatasetCount = field(default_factory=DatasetCount)
    buckets: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    images_of: Counter[str] = field(default_factory=Counter)


def check_dataset(dataset: Dataset, state: DatasetState, kind: str, bucket: str) -> Iterator[Finding]:
    """What is wrong with a dataset whose labels are of type `kind`, and whose images belong into `bucket`."""

    def found(code: str, detail: str) -> Finding:
        return Finding(code, dataset, None, detail)

    count = state.count
    if not count.used:
        yield found("ERROR_EMPTY_MANIFEST", f"the {dataset} dataset has no row that can be used")
    if count.rows > MAX_ROWS:
        yield found("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM", f"the {dataset} dataset has {count.rows:,} rows")
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
    elif state.buckets - {bucket}:
        yield found(
            "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET",
            f"images of the {dataset} dataset are in {min(state.buckets)}, not in {bucket}",
        )
    # What is tested needs half of the trained labels, which `check_labels` sees to.
    least = 1 if kind == DETECTION or dataset == "test" else 2
    if len(state.labels) > MAX_LABELS:
        yield found("ERROR_MANIFEST_TOO_MANY_LABELS", f"the {dataset} dataset has {len(state.labels)} labels")
    elif len(state.labels) < least:
        yield found("ERROR_MANIFEST_TOO_FEW_LABELS", f"the {dataset} dataset has {len(state.labels)} labels")
    elif len(state.images_of) < least:
        yield found(
            "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS",
            f"the {dataset} dataset has {len(state.images_of)} labels without its bad rows",
        )


def check_to_distribute(train: DatasetState) -> Iterator[Finding]:
    """What is wrong with a dataset of which Rekognition picks the test images."""
    rare = sorted(label for label, images in train.images_of.items() if images < _MIN_TO_DISTRIBUTE)
    if rare:
        yield Finding(
            "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE",
            "train",
            None,
            f"one image alone is labeled {', '.join(map(repr, rare))}",
        )


def check_labels(train: DatasetState, test: DatasetState) -> Iterator[Finding]:
    """What is wrong with the labels of one dataset as the other has them."""
    for code, trained, tested in (
        ("ERROR_INSUFFICIENT_LABEL_OVERLAP", train.labels, test.labels),
        ("ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP", set(train.images_of), set(test.images_of)),
    ):
        lacking = sorted(trained - tested)
        if trained and len(lacking) > (1 - MIN_OVERLAP) * len(trained):
            told = f"{len(lacking)} of {len(trained)} labels have no test image: {', '.join(lacking[:10])}"
            yield Finding(code, "test", None, told)
            return
