"""COCO files as other tools write them."""

import json
from typing import Any

import pytest

from loupe.domain.interchange.records import UnreadableFile
from loupe.domain.label_values import Box, Boxes, InvalidLabel, OneLabel
from tests.unit.interchange.folder import read

IMAGES = [
    {"id": 7, "file_name": "a.jpg", "width": 40, "height": 30},
    {"id": 8, "file_name": "b.jpg", "width": 40, "height": 30},
]
CATEGORIES = [{"id": 3, "name": "bolt"}, {"id": 90, "name": "nut"}]


def annotation(**members: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1.5, 2, 3, 4], "iscrowd": 0, **members}


def coco(*annotations: dict[str, Any], **members: Any) -> dict[str, str | bytes]:
    document = {
        "annotations": annotations,
        "images": IMAGES,
        "categories": CATEGORIES,
        **members,
    }
    return {"annotations/instances_train2017.json": json.dumps(document)}


def test_boxes_have_sparse_category_ids_and_images_without_any_are_empty() -> None:
    found, _ = read("coco", "bounding-box", coco(annotation(), annotation(category_id=90, bbox=[0, 0, 9, 9])))
    assert [(each.image, each.value) for each in found] == [
        ("a.jpg", Boxes((Box("bolt", 1.5, 2, 3, 4), Box("nut", 0, 0, 9, 9)))),
        ("b.jpg", Boxes(())),
    ]
    assert found[0].size == (40, 30)


def test_images_are_in_the_folder_that_the_file_is_named_for() -> None:
    files = coco(annotation()) | {"train2017/a.jpg": "", "val2017/a.jpg": "", "train2017/b.jpg": ""}
    found, _ = read("coco", "bounding-box", files)
    assert [each.image for each in found] == ["train2017/a.jpg", "train2017/b.jpg"]


def test_crowds_are_no_boxes_and_segmentations_are_not_taken_over() -> None:
    found, findings = read(
        "coco",
        "bounding-box",
        coco(annotation(iscrowd=1), annotation(image_id=8, segmentation=[[1, 2, 3, 4, 5, 6]])),
    )
    assert [each.image for each in found] == ["b.jpg"]
    assert findings.left_out == {"images with nothing but crowds": 1}
    assert set(findings.notes) == {"annotations of crowds are left out", "segmentations are not taken over"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (annotation(bbox=[1, 2, 3]), "bbox must be"),
        (annotation(bbox=None), "bbox must be"),
        (annotation(category_id=4), "no category has the id 4"),
        (annotation(image_id=99), "no image has the id"),
    ],
)
def test_what_is_wrong_with_an_annotation_spoils_its_image_only(wrong: dict[str, Any], said: str) -> None:
    found, findings = read("coco", "bounding-box", coco(wrong, annotation(image_id=8)))
    assert "b.jpg" in [each.image for each in found]
    assert findings.fault_count == 1
    assert said in str(findings.faults[0])


def test_a_classification_is_the_one_category_of_the_annotations() -> None:
    found, findings = read(
        "coco", "image-classification", coco(annotation(), annotation(), annotation(image_id=8, bbox=None))
    )
    assert [each.value for each in found] == [OneLabel("bolt"), OneLabel("bolt")]
    _, findings = read("coco", "image-classification", coco(annotation(), annotation(category_id=90)))
    assert "a.jpg has several categories" in str(findings.faults[0])


def test_sizes_that_are_turned_by_exif_are_refused() -> None:
    [found, _], _ = read("coco", "bounding-box", coco(annotation()))
    with pytest.raises(InvalidLabel, match="EXIF"):
        found.in_pixels((30, 40))


def test_a_byte_order_mark_is_passed_over_and_cut_off_json_is_told() -> None:
    name, content = next(iter(coco(annotation()).items()))
    assert isinstance(content, str)
    found, _ = read("coco", "bounding-box", {name: b"\xef\xbb\xbf" + content.encode()})
    assert len(found) == 2
    with pytest.raises(UnreadableFile, match="is not JSON"):
        read("coco", "bounding-box", {name: content[:-20]})


def test_other_json_beside_it_is_passed_over() -> None:
    found, findings = read("coco", "bounding-box", coco(annotation()) | {"notes.json": '{"by": "me"}'})
    assert len(found) == 2
    assert "notes.json has no COCO categories and was passed over" in findings.notes
