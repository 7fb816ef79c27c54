"""Augmented manifests as the built-in algorithms read them, and the dataset that the stand-in trains on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.builtin.algorithms import ALGORITHMS, Contract, DataChannel
from local.sagemaker.builtin.data import Sample, check_count, read_samples, write_dataset
from local.sagemaker.builtin.hyperparameters import check
from local.sagemaker.jobs import JobFailedError
from tests.unit.local.pictures import picture


class Objects:
    """S3 as a dictionary of URIs."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def read(self, uri: str) -> bytes:
        return self._objects[uri]


def contract(name: str = "image-classification", *, class_ids: bool = False, **values: str) -> Contract:
    algorithm = ALGORITHMS[name]
    given = {"num_classes": "3", "num_training_samples": "2", "mini_batch_size": "1", **values}
    train, validation = (
        DataChannel(split, f"s3://b/{split}.manifest", "label", class_ids)
        for split in ("train", "validation")
    )
    return Contract(algorithm, check(algorithm.hyperparameters, given), train, validation, None, 0)


def lines(*labels: Any, attribute: str = "label") -> bytes:
    rows = [{"source-ref": f"s3://b/{number}.png", attribute: label} for number, label in enumerate(labels)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def classes(rules: Contract, *labels: Any) -> list[tuple[int, ...]]:
    return [sample.classes for sample in read_samples(rules.train, lines(*labels), rules)]


def boxes(*found: dict[str, Any], depth: int = 3) -> dict[str, Any]:
    return {"image_size": [{"width": 40, "height": 30, "depth": depth}], "annotations": list(found)}


BOX = {"class_id": 1, "left": 4, "top": 5, "width": 6, "height": 7}


def test_class_ids_are_numbers_or_digits() -> None:
    assert classes(contract(), 0, "2") == [(0,), (2,)]


def test_several_labels_are_vectors_by_default() -> None:
    assert classes(contract(multi_label="1"), [1, 0, 1], [0, 0, 0]) == [(0, 2), ()]


def test_several_labels_are_class_ids_if_the_content_type_says_so() -> None:
    assert classes(contract(multi_label="1", class_ids=True), [0, 2], [], ["1"]) == [(0, 2), (), (1,)]


def test_what_ground_truth_writes_is_no_vector() -> None:
    with pytest.raises(
        JobFailedError, match=r"line 1.*Mismatch between .* \(2\) and the num_classes .*class-id"
    ):
        classes(contract(multi_label="1"), [0, 2])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([3], "line 1: the class id 3 is not between 0 and num_classes - 1, 2"),
        ([0, -1], "line 2: the class id -1"),
        ([[0]], "line 1: label can't be read: .* is not a class id"),
        (["cat"], "'cat' is not a class id"),
        ([True], "True is not a class id"),
        ([None], "None is not a class id"),
    ],
)
def test_a_label_must_be_one_of_the_classes(labels: list[Any], said: str) -> None:
    with pytest.raises(JobFailedError, match=f"^ClientError: s3://b/train.manifest .*{said}"):
        classes(contract(), *labels)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Got empty batch from pipe"),
        (b"\n\r\n", "Got empty batch from pipe"),
        (b"{", "line 1 is not JSON"),
        (b"[]", "line 1 lacks an attribute of AttributeNames: source-ref, label"),
        (b'{"source-ref": "s3://b/a.png"}', "lacks an attribute"),
        (b'{"source-ref": "a.png", "label": 1}', "source-ref is not an S3 URI"),
    ],
)
def test_a_manifest_must_hold_labeled_images(content: bytes, said: str) -> None:
    rules = contract()
    with pytest.raises(JobFailedError, match=f"^ClientError: .*{said}"):
        read_samples(rules.train, content, rules)


def test_windows_line_ends_are_read() -> None:
    rules = contract()
    assert len(read_samples(rules.train, lines(0, 1).replace(b"\n", b"\r\n"), rules)) == 2


def test_the_number_of_samples_is_that_of_the_lines() -> None:
    rules = contract(num_training_samples="3")
    samples = read_samples(rules.train, lines(0, 1), rules)
    with pytest.raises(JobFailedError, match=r"num_training_samples is 3, but .* has 2 rows"):
        check_count(rules, samples)


def test_boxes_are_read_with_the_size_of_their_image() -> None:
    rules = contract("object-detection")
    (sample,) = read_samples(rules.train, lines(boxes(BOX)), rules)
    assert sample.classes == (1,)
    assert (sample.boxes[0].left, sample.boxes[0].height) == (4, 7)
    assert sample.size == {"width": 40, "height": 30, "depth": 3}


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (boxes({**BOX, "class_id": 3}), "the class id 3"),
        (boxes({"class_id": 0}), "can't be read"),
        (boxes(BOX, depth=1), "1 channels; only images of 3"),
        ({"annotations": []}, "can't be read"),
        (7, "can't be read"),
    ],
)
def test_boxes_must_be_boxes(label: Any, said: str) -> None:
    rules = contract("object-detection")
    with pytest.raises(JobFailedError, match=said):
        read_samples(rules.train, lines(label), rules)


def test_the_label_width_must_hold_the_fullest_row() -> None:
    rules = contract("object-detection", label_width="11")
    with pytest.raises(JobFailedError, match=r"'label_width': 11\..* has 2 boxes, which need at least 12"):
        read_samples(rules.train, lines(boxes(BOX, BOX)), rules)
    assert read_samples(rules.train, lines(boxes(BOX)), rules)


def samples(*found: tuple[int, ...]) -> list[Sample]:
    return [Sample(number, f"s3://b/{number}.png", each) for number, each in enumerate(found)]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_dataset_has_the_classes_that_can_be_learned(tmp_path: Path) -> None:
    content = picture()
    storage = Objects({f"s3://b/{number}.png": content for number in range(3)})
    splits = {"train": samples((0,), (2,)), "validation": samples((2,), (1,), (0,))}
    dataset = write_dataset(tmp_path / "d", contract(image_shape="3,30,40"), splits, storage)
    card = json.loads((dataset.dataset / "dataset.json").read_text())
    assert (card["task"], card["labels"]) == ("image-classification", ["0", "2"])
    digest = hashlib.sha256(content).hexdigest()
    assert (dataset.copies / digest).read_bytes() == content
    train, validation = (rows(dataset.dataset / f"{name}.manifest") for name in ("train", "validation"))
    assert train[1] == {
        "source-ref": "s3://b/1.png",
        "image-sha256": digest,
        "label": 1,
        "label-metadata": {"class-name": "2"},
    }
    assert [row["label"] for row in validation] == [1, 0]
    assert rows(dataset.dataset / "test.manifest") == []


def test_several_labels_and_boxes_keep_their_images_and_lose_what_cannot_be_learned(tmp_path: Path) -> None:
    storage = Objects({f"s3://b/{number}.png": picture() for number in range(2)})
    splits = {"train": samples((0, 2), ()), "validation": samples((1, 2))}
    rules = contract(multi_label="1", image_shape="3,30,30")
    dataset = write_dataset(tmp_path / "several", rules, splits, storage)
    assert [row["labels"] for row in rows(dataset.dataset / "train.manifest")] == [[0, 1], []]
    (row,) = rows(dataset.dataset / "validation.manifest")
    assert (row["labels"], row["labels-metadata"]) == ([1], {"class-map": {"1": "2"}})

    detection = contract("object-detection")
    found = read_samples(detection.train, lines(boxes(BOX), boxes({**BOX, "class_id": 2})), detection)
    dataset = write_dataset(
        tmp_path / "boxes", detection, {"train": found[:1], "validation": found[1:]}, storage
    )
    assert json.loads((dataset.dataset / "dataset.json").read_text())["task"] == "bounding-box"
    (row,) = rows(dataset.dataset / "train.manifest")
    assert row["boxes"]["annotations"] == [{**BOX, "class_id": 0}]
    assert row["boxes-metadata"] == {"class-map": {"0": "1"}}
    (row,) = rows(dataset.dataset / "validation.manifest")
    assert row["boxes"]["annotations"] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a", "s3://b/0.png is neither a JPEG nor a PNG image"),
        (picture(223, 224), "223 x 224 pixels, which is smaller than image_shape, 224 x 224: .* resize"),
    ],
)
def test_an_image_must_be_one_that_the_network_takes(tmp_path: Path, content: bytes, said: str) -> None:
    splits = {"train": samples((0,)), "validation": samples((0,))}
    with pytest.raises(JobFailedError, match=f"^ClientError: .*{said}"):
        write_dataset(tmp_path / "d", contract(), splits, Objects({"s3://b/0.png": content}))


def test_resize_takes_images_of_any_size(tmp_path: Path) -> None:
    splits = {"train": samples((0,)), "validation": samples((0,))}
    small = picture(8, 8)
    dataset = write_dataset(tmp_path / "d", contract(resize="256"), splits, Objects({"s3://b/0.png": small}))
    assert [copy.read_bytes() for copy in dataset.copies.iterdir()] == [small]
