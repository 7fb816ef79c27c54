"""Dataset versions as an export reads them."""

from collections.abc import Callable, Iterable, Iterator

from loupe.domain.datasets.splits import Split
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.interchange.records import Dataset, Exported, Size
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import LabelValue
from loupe.domain.manifests import SHA256, InvalidManifest, Row, S3Uri, read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES


def dataset(
    project: str, card: DatasetCard, lines: Callable[[Split], Iterable[str]], *, with_images: bool
) -> Dataset:
    """The version of that card; `lines` reads a split's manifest anew at each call."""
    return Dataset(
        project,
        card.version,
        card.task,
        card.labels,
        card.created_at,
        lambda split: _images(project, card, read_rows(lines(split))),
        with_images,
    )


def _images(project: str, card: DatasetCard, rows: Iterable[Row]) -> Iterator[Exported]:
    attribute = LABEL_ATTRIBUTES[card.task]

    def read_value(row: Row) -> LabelValue:
        label = read_label(row, attribute, card.task, card.labels)
        if not isinstance(label, Label):
            raise InvalidManifest(f"the row of {row['source-ref']} in version {card.version} has no label")
        return label.value

    for row in rows:
        source = S3Uri.parse(row["source-ref"])
        yield Exported(
            source.key.removeprefix(f"{project}/"),
            row["source-ref"],
            row[SHA256],
            _size(row, attribute),
            row,
            read_value,
        )


def _size(row: Row, attribute: str) -> Size | None:
    match row:
        case {"image-width": int(width), "image-height": int(height)}:
            return width, height
    match row.get(attribute):
        case {"image_size": [{"width": int(width), "height": int(height)}, *_]}:
            return width, height
    return None
