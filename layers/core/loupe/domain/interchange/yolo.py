"""YOLO's text files: for each image a `.txt` with a line `class x_center y_center width height` for each box.

Numbers are fractions of the image's sides. Read: label files in `labels/` where images are in `images/`, or
beside the images; class names from a `.yaml` file with `names`, from `classes.txt` or `obj.names`. An empty
label file says that nothing is there; an image without one is not labeled. `images.csv` (`file,source`), as
Loupe writes where it exports no images, says where in S3 each image lies.
Written: `data.yaml`, `labels/{train,val,test}/` and, with images, `images/{train,val,test}/`.

image-classification is what YOLO's users know: a folder of images for each label, below `train/`, `val/` and
`test/` or not. There is no form for several labels an image.
"""

import csv
import io
import posixpath
from collections.abc import Iterator

import yaml

from loupe.domain.datasets.splits import SPLITS
from loupe.domain.interchange.manifest import read_categories
from loupe.domain.interchange.records import (
    FOLDERS,
    Dataset,
    Exported,
    FileNames,
    Files,
    Findings,
    ImageFile,
    Labeled,
    NotInFormat,
    OutFile,
    Reading,
    TextFile,
    UnreadableFile,
    is_image,
    number,
    small_text_lines,
    suffix,
    text,
)
from loupe.domain.label_values import Box, Boxes, OneLabel
from loupe.domain.projects import TaskType

TASKS: tuple[TaskType, ...] = ("image-classification", "bounding-box")

SOURCES = "images.csv"
_SPLIT_FOLDERS = {"train", "val", "valid", "validation", "test"}
_CLASS_FILES = ("classes.txt", "obj.names")
_MAX_CONFIG_BYTES = 1 << 20
_COLUMNS = 5
_DIGITS = 12


def read(reading: Reading) -> Iterator[Labeled]:
    """Raises `UnreadableFile`."""
    if reading.task == "image-classification":
        return _read_folders(reading.files, reading.findings)
    return _read_boxes(reading)


def _read_folders(files: Files, findings: Findings) -> Iterator[Labeled]:
    for path in files.paths:
        folders = path.split("/")[:-1]
        if not is_image(path):
            continue
        if folders and folders[0] in _SPLIT_FOLDERS:
            folders = folders[1:]
        if folders:
            yield Labeled(path, OneLabel(folders[0]), path)
        else:
            findings.left_out["images that are in no folder named for a label"] += 1


def _read_boxes(reading: Reading) -> Iterator[Labeled]:
    files, findings = reading.files, reading.findings
    classes = reading.classes or _classes(files)
    sources = _sources(files)
    label_files = {path for path in files.paths if suffix(path) == ".txt" and not _is_list(path)}
    for image in filter(is_image, files.paths):
        label_file = next((path for path in label_files_of(image) if path in label_files), None)
        if label_file is None:
            findings.left_out["images without a label file"] += 1
            continue
        label_files.remove(label_file)
        yield from _labeled(files, image, label_file, classes, sources, findings)
    for label_file in sorted(label_files):
        image = _image_of(label_file, sources)
        yield from _labeled(files, image, label_file, classes, sources, findings)


def label_files_of(image: str) -> Iterator[str]:
    """Where an image's label file may lie: the last folder `images` of its path is `labels` there."""
    stem = posixpath.splitext(image)[0]
    before, found, after = f"/{stem}".rpartition("/images/")
    if found:
        yield f"{before}/labels/{after}.txt".removeprefix("/")
    yield f"{stem}.txt"


def _is_list(path: str) -> bool:
    """Whether a text file is no label file: class names, or lists of images such as train.txt."""
    folder, name = posixpath.split(path)
    return name in _CLASS_FILES or (
        "labels" not in folder.split("/") and posixpath.splitext(name)[0] in _SPLIT_FOLDERS
    )


def _image_of(label_file: str, sources: dict[str, tuple[str, str]]) -> str:
    """The image that a label file without one beside it tells of: as `images.csv` names it, else its name
    without ending."""
    stem = posixpath.splitext(label_file)[0]
    if stem in sources:
        return sources[stem][0]
    before, found, after = f"/{stem}".rpartition("/labels/")
    return f"{before}/images/{after}".removeprefix("/") if found else stem


def _labeled(
    files: Files,
    image: str,
    label_file: str,
    classes: tuple[str, ...],
    sources: dict[str, tuple[str, str]],
    findings: Findings,
) -> Iterator[Labeled]:
    boxes: list[Box] = []
    faults = findings.fault_count
    for line, content in small_text_lines(files, label_file):
        if not content.strip():
            continue
        box = _box(content.split(), classes)
        if isinstance(box, Box):
            boxes.append(box)
        else:
            findings.fault(label_file, line, box)
    if findings.fault_count == faults:
        source = sources.get(posixpath.splitext(label_file)[0])
        yield Labeled(
            image, Boxes(tuple(boxes)), label_file, source=source[1] if source else None, is_relative=True
        )


def _box(columns: list[str], classes: tuple[str, ...]) -> Box | str:
    """The box, or what is wrong with the line."""
    if len(columns) != _COLUMNS:
        return (
            f"{len(columns)} numbers, but a box is class, x_center, y_center, width and height; "
            "polygons, poses and predictions can't be imported"
        )
    try:
        index, x, y, width, height = (number(column) for column in columns)
    except ValueError:
        return f"not five numbers: {' '.join(columns)[:100]}"
    if index != int(index) or not 0 <= index < len(classes):
        return f"there is no class {columns[0]}; the classes are 0 to {len(classes) - 1}"
    return Box(classes[int(index)], x - width / 2, y - height / 2, width, height)


def _classes(files: Files) -> tuple[str, ...]:
    for path in files.paths:
        if suffix(path) in {".yaml", ".yml"} and (names := _names_in_yaml(files, path)):
            return names
    for path in files.paths:
        if posixpath.basename(path) in _CLASS_FILES:
            return read_categories(files, path)
    raise UnreadableFile(
        "Nothing names the classes: there is no .yaml file with `names`, no classes.txt and no obj.names. "
        "Name a file that has one name a line with --classes."
    )


def _names_in_yaml(files: Files, path: str) -> tuple[str, ...]:
    with files.open(path) as stream:
        content = stream.read(_MAX_CONFIG_BYTES)
    try:
        # Every scalar stays text: a label is what was written, be it `0` or `no`.
        document = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes strings only
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} is not YAML: {error}") from error
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        if set(names) != {str(index) for index in range(len(names))}:
            raise UnreadableFile(f"{path}: the keys of `names` must be 0, 1, 2 and so on")
        names = [names[str(index)] for index in range(len(names))]
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UnreadableFile(f"{path}: `names` must be a list of names")
    return tuple(names)


def _sources(files: Files) -> dict[str, tuple[str, str]]:
    """Path and S3 URI of images by their label file without its ending, from `images.csv`."""
    found: dict[str, tuple[str, str]] = {}
    if SOURCES in files.paths:
        with text(files, SOURCES, newline="") as stream:
            for row in csv.DictReader(stream):
                file, source = row.get("file"), row.get("source")
                if file and source:
                    label_file = next(label_files_of(file))
                    found[posixpath.splitext(label_file)[0]] = file, source
    return found


# Writing --------------------------------------------------------------------------------------------


def write(dataset: Dataset) -> Iterator[OutFile]:
    """Raises `NotInFormat`."""
    if dataset.task == "image-classification":
        yield from _write_folders(dataset)
        return
    config = {
        "path": ".",
        **{folder: f"images/{folder}" for folder in FOLDERS.values()},
        "names": dict(enumerate(dataset.labels)),
    }
    # Characters that YAML reads as ends of lines come back only if they are escaped.
    is_plain = all(map(str.isprintable, dataset.labels))
    yield TextFile("data.yaml", [yaml.safe_dump(config, sort_keys=False, allow_unicode=is_plain)])
    indexes = {label: index for index, label in enumerate(dataset.labels)}
    names = FileNames(without_suffix=True)
    sources = [_line("file", "source")]
    for split in SPLITS:
        for image in dataset.images(split):
            path = f"images/{FOLDERS[split]}/{names(image)}"
            yield TextFile(next(label_files_of(path)), _lines(image, indexes))
            if dataset.with_images:
                yield ImageFile(path, image)
            else:
                sources.append(_line(path, image.source))
    if not dataset.with_images:
        yield TextFile(SOURCES, sources)


def _line(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _lines(image: Exported, indexes: dict[str, int]) -> Iterator[str]:
    value = image.value
    if image.size is None or not isinstance(value, Boxes):
        raise NotInFormat(
            f"{image.source}: the dataset version does not keep the size of its images; export one that was "
            "built since"
        )
    width, height = image.size
    for box in value.boxes:
        x, y = (box.left + box.width / 2) / width, (box.top + box.height / 2) / height
        fractions = (x, y, box.width / width, box.height / height)
        yield f"{indexes[box.label]} " + " ".join(f"{each:.{_DIGITS}g}" for each in fractions) + "\n"


def _write_folders(dataset: Dataset) -> Iterator[OutFile]:
    if not dataset.with_images:
        raise NotInFormat(
            "YOLO's form of image-classification is a folder of images for each label: export with --images"
        )
    unusable = [label for label in dataset.labels if not _is_folder(label)]
    if unusable:
        raise NotInFormat(
            f"the label {unusable[0]!r} can't be the name of a folder, as YOLO wants; export another format"
        )
    names = FileNames()
    for split in SPLITS:
        for image in dataset.images(split):
            yield ImageFile(f"{FOLDERS[split]}/{image.value.names[0]}/{names(image)}", image)


def _is_folder(label: str) -> bool:
    return (
        label not in {".", ".."}
        and "/" not in label
        and "\\" not in label
        and label.isprintable()
        and len(label.encode()) <= 240
    )
