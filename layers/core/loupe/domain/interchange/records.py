"""What all formats share: labels on their way into or out of Loupe, and what was found wrong with them."""

import io
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.errors import DomainError
from loupe.domain.label_values import Box, Boxes, InvalidLabel, LabelValue
from loupe.domain.manifests import Row
from loupe.domain.projects import TaskType

Size = tuple[int, int]
"""Width and height of an image as stored, in pixels."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})

FOLDERS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
"""What COCO's, YOLO's and VOC's users call the splits."""

KEPT_FAULTS = 20
"""So many faults are told of one by one; further ones are counted."""

OVERHANG = 1.0
"""Boxes may reach over the edge of their image by so many pixels, as rounding and tools that count from 0
instead of 1 make them; they are cut off there."""

_EXACT_DIGITS = 16
"""A number of fewer digits is the same as `int` and as `float`."""

_DIGITS = 6
"""Pixels that come of a calculation have so many digits, so that they are those that were written."""


class UnreadableFile(DomainError):
    """A file that is not of the format at all; the message names it and says what to do."""

    status, slug, title = 422, "unreadable-file", "The file can't be read"


class NotInFormat(DomainError):
    """The format has no way to say that."""

    status, slug, title = 422, "not-in-format", "The format can't hold that"


class Files(Protocol):
    """A folder with all below it, on disk or in S3. Paths are relative to it, with slashes."""

    @property
    def paths(self) -> Sequence[str]:
        """All files, sorted."""
        ...

    def open(self, path: str) -> BinaryIO:
        """Raises `UnreadableFile`."""
        ...

    def read(self, path: str) -> bytes:
        """All of a small file, such as there is one of for each image. Raises `UnreadableFile`."""
        ...


@dataclass(frozen=True, slots=True)
class Labeled:
    """An image's label in a file.

    `image` is a path in the same folder where there is such a file; else the name that the label file gives
    the image: a path, its end, or an S3 URI. `source` is an S3 URI where it lies if nothing has that name.
    `size` is the image's size as the label file tells it. `is_relative`: boxes are given in fractions of
    the image's sides. `labeled_at` is None where nobody knows; `job` is the labeling job that it came from;
    `sha256` is what the image was when it was labeled, where the file says so.
    """

    image: str
    value: LabelValue
    file: str
    line: int | None = None
    source: str | None = None
    size: Size | None = None
    is_relative: bool = False
    confidences: tuple[float, ...] = ()
    labeled_at: datetime | None = None
    is_human: bool = True
    job: str | None = None
    sha256: str | None = None

    @property
    def place(self) -> str:
        return at(self.file, self.line)

    def in_pixels(self, size: Size) -> LabelValue:
        """The value for an image of that size: boxes in pixels, within the image.

        Raises `InvalidLabel` for boxes of an image of another size. Boxes that reach over the edge by more
        than `OVERHANG` are left as they are.
        """
        if not isinstance(self.value, Boxes):
            return self.value
        if self.size is not None and self.size != size:
            turned = self.size == size[::-1]
            raise InvalidLabel(
                f"it is labeled as an image of {_by(self.size)} pixels, but has {_by(size)}: "
                + (
                    "boxes must be those of the pixels as stored, not turned by EXIF orientation"
                    if turned
                    else "label the image itself, not a scaled copy"
                )
            )
        boxes = (_scaled(box, size) if self.is_relative else box for box in self.value.boxes)
        return Boxes(tuple(_within(box, size) for box in boxes))


def at(file: str, line: int | None) -> str:
    """A place in a file, for people."""
    return file if line is None else f"{file}, line {line}"


def _by(size: Size) -> str:
    return f"{size[0]} by {size[1]}"


def rounded(box: Box) -> Box:
    """The box without the dust of floating point."""
    return Box(
        box.label,
        round(box.left, _DIGITS),
        round(box.top, _DIGITS),
        round(box.width, _DIGITS),
        round(box.height, _DIGITS),
    )


def _scaled(box: Box, size: Size) -> Box:
    width, height = size
    return rounded(Box(box.label, box.left * width, box.top * height, box.width * width, box.height * height))


def _within(box: Box, size: Size) -> Box:
    left, width = _cut(box.left, box.width, size[0])
    top, height = _cut(box.top, box.height, size[1])
    if (left, top, width, height) == (box.left, box.top, box.width, box.height):
        return box
    return Box(box.label, left, top, width, height)


def _cut(start: float, length: float, limit: int) -> tuple[float, float]:
    end = start + length
    if -OVERHANG <= start < 0:
        start, length = 0, end
    if limit < end <= limit + OVERHANG:
        length = limit - start
    return start, length


@dataclass(frozen=True)
class Fault:
    """Something in a file that can't be used. `image` is the one whose label it spoils."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        return f"{at(self.file, self.line)}: {self.message}"


@dataclass
class Findings:
    """What reading came upon. `faults` are the first of `fault_count`; `left_out` counts images that have no
    label to import, by reason; `notes` counts what else is worth knowing."""

    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def fault(self, file: str, line: int | None, message: str) -> None:
        self.fault_count += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(Fault(file, line, message))


@dataclass(frozen=True)
class Reading:
    """What is read and how. `attribute` is the label attribute of manifests, None to choose one; `classes`
    names class indexes where the files don't; `findings` fill up as labels are read."""

    files: Files
    task: TaskType
    findings: Findings
    attribute: str | None = None
    classes: tuple[str, ...] | None = None


# Reading text ---------------------------------------------------------------------------------------


def text_lines(files: Files, path: str) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers from 1, whatever their ends; a byte order mark is passed over.
    Raises `UnreadableFile`."""
    number = 0
    try:
        with text(files, path, newline=None) as stream:
            for number, line in enumerate(stream, start=1):
                yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{at(path, number + 1)}: not UTF-8 text; save the file as UTF-8") from error


def small_text_lines(files: Files, path: str) -> Iterator[tuple[int, str]]:
    """The same as `text_lines` for a file that is read at once, which is several times as fast."""
    content = files.read(path)
    try:
        read = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{at(path, line)}: not UTF-8 text; save the file as UTF-8") from error
    if "\r" in read:
        read = read.replace("\r\n", "\n").replace("\r", "\n")
    return enumerate(read.removesuffix("\n").split("\n"), start=1)


def text(files: Files, path: str, *, newline: str | None) -> io.TextIOWrapper:
    """A UTF-8 file as text; decoding may raise `UnicodeDecodeError`."""
    return io.TextIOWrapper(files.open(path), encoding="utf-8-sig", newline=newline)


def number(value: str) -> float:
    """A number in a text file, whole where it is written so. Raises `ValueError`."""
    if len(value) < _EXACT_DIGITS and value.isdecimal():
        return int(value)
    found = float(value)
    return int(found) if found.is_integer() and value.strip().lstrip("+-").isdecimal() else found


def suffix(path: str) -> str:
    """The ending of a file name in lower case, with its dot."""
    return posixpath.splitext(path)[1].lower()


def label_paths(files: Files, suffixes: Collection[str]) -> list[str]:
    """The files of those endings; else the only one that is no image: it is meant, whatever it is called."""
    found = [path for path in files.paths if suffix(path) in suffixes]
    others = [] if found else [path for path in files.paths if not is_image(path)]
    return others if len(others) == 1 else found


def is_image(path: str) -> bool:
    return suffix(path) in IMAGE_SUFFIXES


# Export ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exported:
    """An image of a dataset version. `name` is its path in the project's folder; `row` its manifest row, in
    which `read_value` finds the label when it is asked for; `size` None in versions that do not keep it."""

    name: str
    source: str
    sha256: str
    size: Size | None
    row: Row
    read_value: Callable[[Row], LabelValue]

    @property
    def value(self) -> LabelValue:
        """Read anew each time. Raises `InvalidManifest`."""
        return self.read_value(self.row)


@dataclass(frozen=True)
class Dataset:
    """A dataset version to be written. `images` reads a split anew at each call; `with_images` says that
    images are written, too, and label files name those instead of S3's."""

    project: str
    version: str
    task: TaskType
    labels: tuple[str, ...]
    created_at: datetime
    images: Callable[[Split], Iterator[Exported]]
    with_images: bool


@dataclass(frozen=True)
class TextFile:
    """A file of the export; `content` is text in pieces, written as it is read."""

    path: str
    content: Iterable[str]


@dataclass(frozen=True)
class ImageFile:
    """An image of the export: the object to be written to `path`."""

    path: str
    image: Exported


OutFile = TextFile | ImageFile


class FileNames:
    """Gives each image of an export a file name of its own that any file system takes.

    Names are kept where that is possible. Others get the first digits of the image's SHA-256, so that the
    same version gives the same names. `flat` names have no folders; `without_suffix` says that two names
    must differ in more than the ending.
    """

    def __init__(self, *, flat: bool = False, without_suffix: bool = False) -> None:
        self._flat = flat
        self._without_suffix = without_suffix
        self._taken: set[str] = set()

    def __call__(self, image: Exported) -> str:
        name = image.name if is_image(image.name) else f"{image.name}.jpg"
        if self._flat:
            name = name.replace("/", "__")
        if not _is_safe(name):
            name = image.sha256 + suffix(name)
        if self._mark(name) in self._taken:
            stem, ending = posixpath.splitext(name)
            name = f"{stem}-{image.sha256[:12]}{ending}"
        self._taken.add(self._mark(name))
        return name

    def _mark(self, name: str) -> str:
        """What two names must not share; letter case tells no files apart everywhere."""
        return (posixpath.splitext(name)[0] if self._without_suffix else name).casefold()


def file_names(dataset: Dataset) -> dict[str, str]:
    """The file name of each image of an export, by its source."""
    names = FileNames()
    return {image.source: names(image) for split in SPLITS for image in dataset.images(split)}


def _is_safe(name: str) -> bool:
    """Whether it is a path below a folder on every system, and a line of text."""
    return all(
        0 < len(part.encode()) <= 240 and not part.startswith(".") and not part.endswith((".", " "))
        for part in name.split("/")
    ) and not any(character in '<>:"\\|?*' or not character.isprintable() for character in name)
