"""CSV: a row for each label of an image.

    file,label                          image-classification: one row an image
    file,label                          multi-label-classification: a row for each label; empty: none of them
    file,label,left,top,width,height    bounding-box: a row for each box; empty: no box. Pixels of the image
                                        as stored, from its top-left corner

Read: all `.csv` files, or the one that was named. Further columns are passed over. Commas, semicolons or tabs
separate columns, whichever the first line has. `file` is a path beside the CSV, the end of one, or an S3 URI.
Written: `train.csv`, `validation.csv`, `test.csv`. Holds all tasks.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.interchange.names import beside
from loupe.domain.interchange.records import (
    Dataset,
    Exported,
    Files,
    Findings,
    ImageFile,
    Labeled,
    OutFile,
    Reading,
    TextFile,
    UnreadableFile,
    at,
    file_names,
    label_paths,
    number,
    text,
)
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import TaskType

TASKS: tuple[TaskType, ...] = ("image-classification", "multi-label-classification", "bounding-box")

_LABELS = ("file", "label")
_SIDES = ("left", "top", "width", "height")


@dataclass(slots=True)
class _Image:
    """What the rows so far say of an image; `line` is its first."""

    line: int
    parts: list[str | Box] = field(default_factory=list)
    is_empty: bool = False
    is_spoiled: bool = False


def read(reading: Reading) -> Iterator[Labeled]:
    """Raises `UnreadableFile`."""
    files, task = reading.files, reading.task
    paths = label_paths(files, {".csv", ".tsv"})
    if not paths:
        raise UnreadableFile("There is no .csv file; name the file itself.")
    present = frozenset(files.paths)
    for path in paths:
        for name, image in _images(files, path, task, reading.findings).items():
            if not image.is_spoiled:
                yield Labeled(beside(path, name, present), _value(task, image), path, image.line)


def _images(files: Files, path: str, task: TaskType, findings: Findings) -> dict[str, _Image]:
    """Images by name in the order of their first rows."""
    images: dict[str, _Image] = {}
    last = 1
    try:
        for last, row in _rows(files, path, task, findings):
            name = row["file"]
            image = images.setdefault(name, _Image(last))
            fault = _add(image, row, task)
            if fault:
                image.is_spoiled = True
                findings.fault(path, last, fault)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{path}, after line {last}: not CSV in UTF-8: {error}") from error
    return images


def _rows(
    files: Files, path: str, task: TaskType, findings: Findings
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their line numbers; rows without a file are faults."""
    with text(files, path, newline="") as stream:
        separator = max(",;\t", key=stream.readline().count)
        stream.seek(0)
        reader = csv.reader(stream, delimiter=separator, strict=True)
        header = [name.strip().lower() for name in next(reader, [])]
        columns = _LABELS + (_SIDES if task == "bounding-box" else ())
        missing = [column for column in columns if column not in header]
        if missing:
            raise UnreadableFile(
                f"{at(path, 1)}: the first line must name the columns {','.join(columns)}; "
                f"it lacks {', '.join(missing)}"
            )
        places = [(column, header.index(column)) for column in columns]
        for values in reader:
            if not any(values):
                continue
            if len(values) != len(header):
                findings.fault(
                    path, reader.line_num, f"{len(values)} columns, but the first line names {len(header)}"
                )
            elif not values[places[0][1]]:
                findings.fault(path, reader.line_num, "the row names no file")
            else:
                yield reader.line_num, {column: values[at] for column, at in places}


def _add(image: _Image, row: dict[str, str], task: TaskType) -> str | None:
    """Take a row's label over; returns what is wrong with it."""
    label = row["label"]
    if not label:
        if task == "image-classification":
            return "the row has no label"
        image.is_empty = True
    elif task == "bounding-box":
        try:
            image.parts.append(Box(label, *(number(row[side]) for side in _SIDES)))
        except ValueError:
            return f"{', '.join(_SIDES)} must be numbers, not {[row[side] for side in _SIDES]}"
    elif task == "image-classification" and image.parts:
        if image.parts != [label]:
            return f"{row['file']} has the label {image.parts[0]!r} in line {image.line}"
    elif label not in image.parts:
        image.parts.append(label)
    if image.is_empty and image.parts:
        return f"{row['file']} has both an empty label and others"
    return None


def _value(task: TaskType, image: _Image) -> LabelValue:
    if task == "bounding-box":
        return Boxes(tuple(part for part in image.parts if isinstance(part, Box)))
    names = tuple(part for part in image.parts if isinstance(part, str))
    return OneLabel(names[0]) if task == "image-classification" else SeveralLabels(names)


def write(dataset: Dataset) -> Iterator[OutFile]:
    """Files are named by their S3 URI, or by their path in the export if images are written, too."""
    names = file_names(dataset) if dataset.with_images else {}
    paths = {source: f"images/{name}" for source, name in names.items()}
    for split in SPLITS:
        yield TextFile(f"{split}.csv", _lines(dataset, split, paths))
    if dataset.with_images:
        for split in SPLITS:
            for image in dataset.images(split):
                yield ImageFile(paths[image.source], image)


def _lines(dataset: Dataset, split: Split, paths: dict[str, str]) -> Iterator[str]:
    columns = _LABELS + (_SIDES if dataset.task == "bounding-box" else ())
    yield _line(columns)
    for image in dataset.images(split):
        file = paths.get(image.source, image.source)
        for values in _cells(image):
            yield _line((file, *values))


def _cells(image: Exported) -> Iterator[tuple[object, ...]]:
    match image.value:
        case Boxes(boxes):
            if not boxes:
                yield ("",) * (1 + len(_SIDES))
            for box in boxes:
                yield box.label, box.left, box.top, box.width, box.height
        case value:
            for name in value.names or ("",):
                yield (name,)


def _line(cells: tuple[object, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
