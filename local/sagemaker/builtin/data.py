"""The data of a built-in algorithm: augmented manifests, checked as the algorithm reads them, and turned into
the dataset folder that Loupe's trainer reads.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, UnidentifiedImageError

from local.sagemaker.builtin.algorithms import Contract, DataChannel
from local.sagemaker.builtin.hyperparameters import image_shape, needed_label_width
from local.sagemaker.jobs import JobFailedError

_PARALLEL = 8


class ReadsObjects(Protocol):
    def read(self, uri: str) -> bytes: ...


@dataclass(frozen=True)
class Box:
    """In pixels, from the image's top-left corner."""

    class_id: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Sample:
    """A row as the algorithm sees it. `classes` are those of the image or of its boxes, in their order."""

    line: int
    image: str
    classes: tuple[int, ...]
    boxes: tuple[Box, ...] = ()
    size: Mapping[str, int] | None = None
    """`image_size` of the row's boxes: width, height and depth."""


def read_samples(channel: DataChannel, content: bytes, contract: Contract) -> list[Sample]:
    """The rows of a channel's manifest. Raises JobFailedError."""
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise JobFailedError(f"ClientError: Got empty batch from pipe: {channel.manifest} has no rows")
    read = partial(_sample, channel, contract)
    samples = [read(number, line) for number, line in enumerate(lines, 1)]
    if "label_width" in contract.values:
        most = max(len(sample.boxes) for sample in samples)
        if contract.number("label_width") < needed_label_width(most):
            raise JobFailedError(
                f"ClientError: Invalid parameter value 'label_width': {contract.values['label_width']}. An "
                f"image of the channel {channel.name!r} has {most} boxes, which need at least "
                f"{needed_label_width(most)}"
            )
    return samples


def check_count(contract: Contract, samples: Sequence[Sample]) -> None:
    """Stricter than the algorithm, whose learning rate and epochs go wrong instead. Raises JobFailedError."""
    if contract.number("num_training_samples") != len(samples):
        raise JobFailedError(
            f"ClientError: num_training_samples is {contract.values['num_training_samples']}, but the "
            f"manifest of the channel 'train' has {len(samples)} rows"
        )


def _sample(channel: DataChannel, contract: Contract, number: int, line: bytes) -> Sample:
    where = f"{channel.manifest} line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise JobFailedError(f"ClientError: {where} is not JSON: {error}") from error
    if not isinstance(row, dict) or "source-ref" not in row or channel.attribute not in row:
        raise JobFailedError(
            f"ClientError: {where} lacks an attribute of AttributeNames: source-ref, {channel.attribute}"
        )
    image, label = row["source-ref"], row[channel.attribute]
    if not isinstance(image, str) or not image.startswith("s3://"):
        raise JobFailedError(f"ClientError: {where}: source-ref is not an S3 URI")
    try:
        sample = _labeled(number, image, label, channel, contract)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise JobFailedError(f"ClientError: {where}: {channel.attribute} can't be read: {error}") from error
    classes = contract.number("num_classes")
    beyond = [found for found in sample.classes if not 0 <= found < classes]
    if beyond:
        raise JobFailedError(
            f"ClientError: {where}: the class id {beyond[0]} is not between 0 and num_classes - 1, "
            f"{classes - 1}; ids are numbered successively from 0"
        )
    return sample


def _labeled(number: int, image: str, label: Any, channel: DataChannel, contract: Contract) -> Sample:
    if contract.algorithm.name == "object-detection":
        boxes = tuple(_box(found) for found in label["annotations"])
        size = {name: int(label["image_size"][0][name]) for name in ("width", "height", "depth")}
        if size["depth"] != 3:
            raise ValueError(f"the image has {size['depth']} channels; only images of 3 are supported")
        return Sample(number, image, tuple(box.class_id for box in boxes), boxes, size)
    if not contract.is_on("multi_label"):
        return Sample(number, image, (_class_id(label),))
    if not isinstance(label, list):
        raise TypeError(f"multi_label takes lists, not {label!r}")
    if channel.has_class_ids:
        return Sample(number, image, tuple(_class_id(found) for found in label))
    return Sample(number, image, _from_multi_hot(label, contract.number("num_classes")))


def _class_id(value: Any) -> int:
    """Of a number or of its digits: manifests have both."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a class id")
    return value


def _from_multi_hot(label: list[Any], classes: int) -> tuple[int, ...]:
    if len(label) != classes or any(found not in (0, 1) for found in label):
        raise ValueError(
            f"Mismatch between number of labels in the multi-label data ({len(label)}) and the num_classes "
            f"parameter ({classes}). Lists of class ids, which Ground Truth writes, need the content type "
            "'application/x-recordio; label-format=class-id'"
        )
    return tuple(position for position, found in enumerate(label) if found)


def _box(found: Mapping[str, Any]) -> Box:
    sides = [float(found[side]) for side in ("left", "top", "width", "height")]
    return Box(_class_id(found["class_id"]), *sides)


@dataclass(frozen=True)
class Dataset:
    """The folders that the trainer reads: manifests and card, and each image under its SHA-256. `classes` are
    the ids that it learns, in its own order."""

    root: Path
    classes: tuple[int, ...]

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def copies(self) -> Path:
        return self.root / "copies"


def write_dataset(
    root: Path, contract: Contract, splits: Mapping[str, Sequence[Sample]], storage: ReadsObjects
) -> Dataset:
    """Fetch the images and write cards and manifests. Raises JobFailedError and StorageError.

    Only classes with training images can be learned; what else a validation image shows is passed over.
    """
    learned = sorted({found for sample in splits["train"] for found in sample.classes})
    dataset = Dataset(root, tuple(learned))
    for folder in (dataset.dataset, dataset.copies):
        folder.mkdir(parents=True)
    digests = _fetch(
        {sample.image for samples in splits.values() for sample in samples}, dataset, contract, storage
    )
    task, attribute = _task(contract)
    for name, samples in splits.items():
        rows = (_row(sample, digests[sample.image], attribute, dataset.classes) for sample in samples)
        _write_rows(dataset.dataset / f"{name}.manifest", (row for row in rows if row is not None))
    _write_rows(dataset.dataset / "test.manifest", ())
    card = {"task": task, "labels": [str(found) for found in learned], "version": contract.algorithm.name}
    (dataset.dataset / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
    return dataset


def _task(contract: Contract) -> tuple[str, str]:
    """The trainer's task, and the label attribute of its manifests."""
    if contract.algorithm.name == "object-detection":
        return "bounding-box", "boxes"
    if contract.is_on("multi_label"):
        return "multi-label-classification", "labels"
    return "image-classification", "label"


def _fetch(images: set[str], dataset: Dataset, contract: Contract, storage: ReadsObjects) -> dict[str, str]:
    """Each image under its SHA-256; image URI -> that."""

    def fetch(uri: str) -> tuple[str, str]:
        content = storage.read(uri)
        _check_image(uri, content, contract)
        digest = hashlib.sha256(content).hexdigest()
        (dataset.copies / digest).write_bytes(content)
        return uri, digest

    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(pool.map(fetch, sorted(images)))


def _check_image(uri: str, content: bytes, contract: Contract) -> None:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise JobFailedError(f"ClientError: {uri} is neither a JPEG nor a PNG image") from error
    if "num_layers" not in contract.values or "resize" in contract.values:
        return
    _, needed_height, needed_width = image_shape(contract.values)
    if width < needed_width or height < needed_height:
        raise JobFailedError(
            f"ClientError: {uri} has {width} x {height} pixels, which is smaller than image_shape, "
            f"{needed_width} x {needed_height}: set the hyperparameter resize, to more than both"
        )


def _row(sample: Sample, digest: str, attribute: str, learned: Sequence[int]) -> dict[str, Any] | None:
    """A row of the trainer's manifest, or None for an image whose one class is not learned."""
    index = {found: position for position, found in enumerate(learned)}
    known = [index[found] for found in sample.classes if found in index]
    row: dict[str, Any] = {"source-ref": sample.image, "image-sha256": digest}
    metadata: dict[str, Any] = {"class-map": {str(position): str(learned[position]) for position in known}}
    if attribute == "label":
        if not known:
            return None
        row["label"], metadata = known[0], {"class-name": str(sample.classes[0])}
    elif attribute == "labels":
        row["labels"] = known
    else:
        row["boxes"] = {
            "image_size": [sample.size],
            "annotations": [
                {
                    "class_id": index[box.class_id],
                    "left": box.left,
                    "top": box.top,
                    "width": box.width,
                    "height": box.height,
                }
                for box in sample.boxes
                if box.class_id in index
            ],
        }
    return row | {f"{attribute}-metadata": metadata}


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
