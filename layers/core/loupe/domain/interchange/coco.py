"""COCO's JSON: `images`, `annotations` with `bbox` [left, top, width, height], and `categories`.

Read: the file that was named, or all `.json` files that have those three. Files of any size are read as a
stream; memory grows with the boxes alone. Every image that the file lists counts as labeled, also one without
annotations. Segmentations and keypoints are not taken over. Annotations of crowds (`iscrowd`) are no boxes of
single objects and are left out; an image that has nothing else has no label.
For the classification tasks an image's label is the category of its annotations, whether they have boxes or
not. Written: `annotations/instances_{train,val,test}.json`; classifications as annotations without `bbox`.
"""

import json
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, zip_longest
from typing import Any

import ijson

from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.interchange.names import beside, normal
from loupe.domain.interchange.records import (
    FOLDERS,
    Dataset,
    Files,
    Findings,
    ImageFile,
    Labeled,
    OutFile,
    Reading,
    Size,
    TextFile,
    UnreadableFile,
    file_names,
    label_paths,
)
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import TaskType

TASKS: tuple[TaskType, ...] = ("image-classification", "multi-label-classification", "bounding-box")

_Id = int | str


@dataclass(slots=True)
class _Image:
    """An image that the file lists, and what its annotations say; None where one can't be used."""

    name: str
    size: Size | None
    url: str | None
    parts: list[str | Box] | None
    crowds: int = 0


def read(reading: Reading) -> Iterator[Labeled]:
    """Raises `UnreadableFile`."""
    files, task, findings = reading.files, reading.task, reading.findings
    paths = label_paths(files, {".json"})
    read_any = False
    present = frozenset(files.paths)
    for path in paths:
        categories = dict(_categories(files, path))
        if not categories:
            findings.notes[f"{path} has no COCO categories and was passed over"] += 1
            continue
        read_any = True
        images = _images(files, path, findings)
        _annotate(images, files, path, task, categories, findings)
        for image in images.values():
            labeled = _labeled(image, path, task, present, findings)
            if labeled:
                yield labeled
    if not read_any:
        raise UnreadableFile(
            "There is no COCO file, a .json with images, annotations and categories; name the file itself."
        )


def _members(files: Files, path: str, member: str) -> Iterator[Any]:
    """The objects of a member of the file, which is a list."""
    with files.open(path) as stream:
        _skip_byte_order_mark(stream)
        try:
            yield from ijson.items(stream, f"{member}.item", use_float=True)
        except ijson.JSONError as error:
            raise UnreadableFile(f"{path} is not JSON in UTF-8: {error}") from error
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"{path} is not UTF-8 text; save it as UTF-8") from error


def _skip_byte_order_mark(stream: Any) -> None:
    if stream.read(3) != b"\xef\xbb\xbf":
        stream.seek(0)


def _categories(files: Files, path: str) -> Iterator[tuple[_Id, str]]:
    for category in _members(files, path, "categories"):
        match category:
            case {"id": int() | str() as identifier, "name": str(name)}:
                yield identifier, name
            case _:
                raise UnreadableFile(f"{path}: a category needs id and name, not {_short(category)}")


def _images(files: Files, path: str, findings: Findings) -> dict[_Id, _Image]:
    images: dict[_Id, _Image] = {}
    for number, image in enumerate(_members(files, path, "images")):
        match image:
            case {"id": int() | str() as identifier, "file_name": str(name)} if name:
                if identifier in images:
                    findings.fault(path, None, f"images[{number}]: the id {identifier!r} stands twice")
                    images[identifier].parts = None
                    continue
                url = image.get("coco_url")
                images[identifier] = _Image(name, _size(image), url if isinstance(url, str) else None, [])
            case _:
                findings.fault(path, None, f"images[{number}] needs id and file_name, and is {_short(image)}")
    return images


def _size(image: dict[str, Any]) -> Size | None:
    match image:
        case {"width": int(width), "height": int(height)} if width > 0 and height > 0:
            return width, height
    return None


def _annotate(
    images: dict[_Id, _Image],
    files: Files,
    path: str,
    task: TaskType,
    categories: dict[_Id, str],
    findings: Findings,
) -> None:
    """Add what the annotations say to their images."""
    for number, annotation in enumerate(_members(files, path, "annotations")):
        where = f"annotations[{number}]"
        image = images.get(_identifier(annotation, "image_id"))
        if image is None:
            findings.fault(path, None, f"{where}: no image has the id {_short(annotation)}")
            continue
        label = categories.get(_identifier(annotation, "category_id"))
        fault = _add(image, annotation, label, task, findings)
        if fault:
            findings.fault(path, None, f"{where} of {image.name}: {fault}")
            image.parts = None


def _identifier(annotation: Any, member: str) -> _Id:
    found = annotation.get(member) if isinstance(annotation, dict) else None
    return found if isinstance(found, int | str) else ""


def _add(
    image: _Image, annotation: dict[str, Any], label: str | None, task: TaskType, findings: Findings
) -> str | None:
    """Take an annotation over; returns what is wrong with it."""
    if label is None:
        return f"no category has the id {annotation.get('category_id')!r}"
    if annotation.get("iscrowd"):
        image.crowds += 1
        findings.notes["annotations of crowds are left out"] += 1
        return None
    if annotation.get("segmentation"):
        findings.notes["segmentations are not taken over"] += 1
    if image.parts is None:
        return None
    if task != "bounding-box":
        if label not in image.parts:
            image.parts.append(label)
        return None
    match annotation.get("bbox"):
        case [left, top, width, height] if all(_is_number(side) for side in (left, top, width, height)):
            image.parts.append(Box(label, left, top, width, height))
            return None
    return f"bbox must be [left, top, width, height], not {_short(annotation.get('bbox'))}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _labeled(
    image: _Image, path: str, task: TaskType, present: frozenset[str], findings: Findings
) -> Labeled | None:
    if image.parts is None:
        return None
    if image.crowds and not image.parts:
        findings.left_out["images with nothing but crowds"] += 1
        return None
    value: LabelValue
    names = tuple(part for part in image.parts if isinstance(part, str))
    if task == "bounding-box":
        value = Boxes(tuple(part for part in image.parts if isinstance(part, Box)))
    elif task == "multi-label-classification":
        value = SeveralLabels(names)
    elif len(names) == 1:
        value = OneLabel(names[0])
    elif names:
        findings.fault(path, None, f"{image.name} has several categories: {', '.join(map(repr, names))}")
        return None
    else:
        findings.left_out["images without annotations"] += 1
        return None
    source = image.url if image.url and image.url.startswith("s3://") else None
    return Labeled(_place(path, image.name, present), value, path, source=source, size=image.size)


def _place(path: str, name: str, present: frozenset[str]) -> str:
    """Where COCO's users put images: `instances_<x>.json` tells of those in `<x>/`, beside its folder."""
    clean, top = normal(name), posixpath.dirname(posixpath.dirname(path))
    part = posixpath.splitext(posixpath.basename(path))[0].partition("_")[2]
    for folder in (part, f"images/{part}", "images"):
        for root in (top, posixpath.dirname(path)):
            found = posixpath.normpath(posixpath.join(root, folder, clean))
            if found in present:
                return found
    return beside(path, name, present)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


# Writing --------------------------------------------------------------------------------------------


def write(dataset: Dataset) -> Iterator[OutFile]:
    """`coco_url` names the image in S3."""
    names = file_names(dataset)
    for split in SPLITS:
        yield TextFile(f"annotations/instances_{FOLDERS[split]}.json", _document(dataset, split, names))
    if dataset.with_images:
        for split in SPLITS:
            for image in dataset.images(split):
                yield ImageFile(f"{FOLDERS[split]}/{names[image.source]}", image)


def _document(dataset: Dataset, split: Split, names: dict[str, str]) -> Iterator[str]:
    info = {
        "description": f"{dataset.project}, dataset version {dataset.version}, {split}",
        "version": dataset.version,
        "date_created": dataset.created_at.isoformat(),
    }
    categories = [
        {"id": number, "name": label, "supercategory": ""}
        for number, label in enumerate(dataset.labels, start=1)
    ]
    yield f'{{"info":{_json(info)},"licenses":[],"categories":{_json(categories)},"images":[\n'
    yield from _listed(_image_members(dataset, split, names))
    yield '],"annotations":[\n'
    yield from _listed(_annotations(dataset, split))
    yield "]}\n"


def _image_members(dataset: Dataset, split: Split, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for number, image in enumerate(dataset.images(split), start=1):
        size = {"width": image.size[0], "height": image.size[1]} if image.size else {}
        yield {"id": number, "file_name": names[image.source], **size, "coco_url": image.source}


def _annotations(dataset: Dataset, split: Split) -> Iterator[dict[str, Any]]:
    ids = {label: number for number, label in enumerate(dataset.labels, start=1)}
    numbers = count(1)
    for image_id, image in enumerate(dataset.images(split), start=1):
        value = image.value
        boxes = value.boxes if isinstance(value, Boxes) else ()
        for name, box in zip_longest(value.names, boxes):
            place = {"id": next(numbers), "image_id": image_id, "category_id": ids[name], "iscrowd": 0}
            sides = [box.left, box.top, box.width, box.height] if box else []
            yield place | ({"bbox": sides, "area": box.width * box.height} if box else {})


def _listed(members: Iterable[dict[str, Any]]) -> Iterator[str]:
    for number, member in enumerate(members):
        yield (",\n" if number else "") + _json(member)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
