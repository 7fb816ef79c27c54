"""PASCAL VOC: an XML file an image in `Annotations/`, images in `JPEGImages/`. Holds boxes.

Corners are pixels counted from 1, and `xmax` and `ymax` lie within the box. Read: every `.xml` file whose
root is `annotation`. Its image is the one that `filename` names, else the one in `JPEGImages/` with the
file's own name. Objects that are `difficult` or `truncated` are boxes as all others; parts of objects are
passed over.
Written: `Annotations/`, `ImageSets/Main/{train,val,test}.txt` and, with images, `JPEGImages/`; `path` names
the image in S3. Boxes that lie between pixels are written with fractions.
"""

import posixpath
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, fromstring
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring as defused_fromstring

from loupe.domain.datasets.splits import SPLITS
from loupe.domain.interchange.names import beside, normal
from loupe.domain.interchange.records import (
    FOLDERS,
    Dataset,
    Exported,
    FileNames,
    Findings,
    ImageFile,
    Labeled,
    NotInFormat,
    OutFile,
    Reading,
    Size,
    TextFile,
    UnreadableFile,
    is_image,
    label_paths,
    number,
    rounded,
)
from loupe.domain.label_values import Box, Boxes
from loupe.domain.projects import TaskType

TASKS: tuple[TaskType, ...] = ("bounding-box",)

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(reading: Reading) -> Iterator[Labeled]:
    """Raises `UnreadableFile`."""
    files, findings = reading.files, reading.findings
    paths = label_paths(files, {".xml"})
    if not paths:
        raise UnreadableFile("There is no .xml file; name the folder that has Annotations/ in it.")
    present = frozenset(files.paths)
    by_stem = {posixpath.splitext(path)[0]: path for path in files.paths if is_image(path)}
    for path in paths:
        try:
            root = _parsed(files.read(path))
        except (ParseError, DefusedXmlException, ValueError) as error:
            findings.fault(path, None, f"not XML that can be read: {error or type(error).__name__}")
            continue
        if root.tag != "annotation":
            findings.notes["XML files that are no VOC annotations were passed over"] += 1
            continue
        boxes = _boxes(root, path, findings)
        if boxes is not None:
            says = _texts(root)
            source = says.get("path", "")
            yield Labeled(
                _image(says.get("filename", ""), path, present, by_stem),
                boxes,
                path,
                source=source if source.startswith("s3://") else None,
                size=_size(root),
            )


def _parsed(content: bytes) -> Element:
    """The root of a file from anywhere. Raises `ParseError` and `DefusedXmlException`.

    What has no declarations can do no harm, and is parsed by the standard library, ten times as fast.
    """
    if b"<!" in content or b"\0" in content:
        root: Element = defused_fromstring(content, forbid_dtd=True)
        return root
    return fromstring(content)  # noqa: S314 - no declarations, so no entities


def _boxes(root: Element, path: str, findings: Findings) -> Boxes | None:
    """None if one of them can't be used."""
    boxes: list[Box] = []
    faults = findings.fault_count
    for position, found in enumerate(root.findall("object"), start=1):
        says, corners = _texts(found), found.find("bndbox")
        name = says.get("name")
        for flag in ("difficult", "truncated"):
            if says.get(flag) == "1":
                findings.notes[f"objects that are {flag} are boxes as all others"] += 1
        if not name:
            findings.fault(path, None, f"object {position} has no name")
        elif corners is None:
            findings.fault(path, None, f"object {position}, {name!r}, has no bndbox")
        else:
            at = _texts(corners)
            try:
                left, top, right, bottom = (number(at.get(corner, "")) for corner in _CORNERS)
            except ValueError:
                findings.fault(
                    path, None, f"object {position}, {name!r}: {', '.join(_CORNERS)} must be numbers"
                )
                continue
            boxes.append(rounded(Box(name, left - 1, top - 1, right - left + 1, bottom - top + 1)))
    return Boxes(tuple(boxes)) if findings.fault_count == faults else None


def _image(filename: str, path: str, present: frozenset[str], by_stem: dict[str, str]) -> str:
    folder, slash, file = path.rpartition("/")
    name, stem = normal(filename), posixpath.splitext(file)[0]
    above, slash_above, _ = folder.rpartition("/")
    for images in (f"{above}{slash_above}JPEGImages/", f"{folder}{slash}"):
        if name and images + name in present:
            return images + name
        if images + stem in by_stem:
            return by_stem[images + stem]
    return beside(path, name, present) if name else stem


def _size(root: Element) -> Size | None:
    size = root.find("size")
    says = {} if size is None else _texts(size)
    try:
        width, height = int(says.get("width", "")), int(says.get("height", ""))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _texts(element: Element) -> dict[str, str]:
    """The text of each child by its tag, the first of several, without the white space of pretty printing."""
    found: dict[str, str] = {}
    for child in element:
        text = child.text or ""
        found.setdefault(child.tag, text.strip() if "\n" in text else text)
    return found


# Writing --------------------------------------------------------------------------------------------


def write(dataset: Dataset) -> Iterator[OutFile]:
    """Raises `NotInFormat`."""
    unusable = [label for label in dataset.labels if not label.isprintable()]
    if unusable:
        raise NotInFormat(
            f"the label {unusable[0]!r} has characters that XML can't hold; export another format"
        )
    names = FileNames(flat=True, without_suffix=True)
    for split in SPLITS:
        stems: list[str] = []
        for image in dataset.images(split):
            name = names(image)
            stems.append(posixpath.splitext(name)[0])
            yield TextFile(f"Annotations/{stems[-1]}.xml", [_annotation(dataset, image, name)])
            if dataset.with_images:
                yield ImageFile(f"JPEGImages/{name}", image)
        yield TextFile(f"ImageSets/Main/{FOLDERS[split]}.txt", (f"{stem}\n" for stem in stems))


def _annotation(dataset: Dataset, image: Exported, name: str) -> str:
    value = image.value
    if image.size is None or not isinstance(value, Boxes):
        raise NotInFormat(
            f"{image.source}: the dataset version does not keep the size of its images; export one that was "
            "built since"
        )
    if not (image.source.isprintable() or dataset.with_images):
        raise NotInFormat(
            f"{image.source!r} has characters that XML can't hold: export with --images, or another format"
        )
    path = f"<path>{escape(image.source)}</path>" if image.source.isprintable() else ""
    width, height = image.size
    objects = "".join(_object(box) for box in value.boxes)
    return (
        f"<annotation>\n<folder>JPEGImages</folder>\n<filename>{escape(name)}</filename>\n{path}\n"
        f"<source><database>{dataset.project} {dataset.version}</database></source>\n"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def _object(box: Box) -> str:
    corners = (box.left + 1, box.top + 1, box.left + box.width, box.top + box.height)
    sides = "".join(
        f"<{corner}>{_pixels(at)}</{corner}>" for corner, at in zip(_CORNERS, corners, strict=True)
    )
    return (
        f"<object><name>{escape(box.label)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox>{sides}</bndbox></object>\n"
    )


def _pixels(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.12g}"
