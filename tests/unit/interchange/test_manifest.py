"""Manifests of Ground Truth jobs, whatever their names."""

import json
from typing import Any

import pytest

from loupe.domain.interchange.records import UnreadableFile
from loupe.domain.label_values import Box, Boxes, OneLabel, SeveralLabels
from tests.unit.interchange.folder import read


def row(attribute: str, value: Any, **metadata: Any) -> dict[str, Any]:
    kind = {"type": "groundtruth/image-classification", "job-name": "labeling-job/defect-07"}
    return {
        "source-ref": "s3://acme/in/412.jpg",
        attribute: value,
        f"{attribute}-metadata": {**kind, "creation-date": "2026-05-04T09:12:33.481920", **metadata},
    }


def lines(*rows: dict[str, Any]) -> dict[str, str | bytes]:
    return {"output.manifest": "".join(json.dumps(each) + "\r\n" for each in rows)}


@pytest.mark.parametrize("value", [2, "2"], ids=["number", "text"])
def test_class_values_are_numbers_or_text(value: Any) -> None:
    [found], findings = read(
        "manifest", "image-classification", lines(row("defect", value, **{"class-name": "dent"}))
    )
    assert (found.value, found.job, found.line) == (OneLabel("dent"), "defect-07", 1)
    assert findings.notes == {"labels are those of the attribute 'defect'": 1}


def test_a_class_that_the_row_does_not_name_is_named_by_the_classes_or_a_fault() -> None:
    files = lines(row("defect", 1))
    found, findings = read("manifest", "image-classification", files)
    assert (found, findings.fault_count) == ([], 1)
    assert "there is no class 1" in str(findings.faults[0])
    [named], _ = read("manifest", "image-classification", files, classes=("ok", "dent"))
    assert named.value == OneLabel("dent")


def test_of_several_attributes_the_newest_that_fits_is_read() -> None:
    boxes = {"image_size": [{"width": 9, "height": 9}], "annotations": []}
    files = lines(
        row("old", boxes, type="groundtruth/object-detection")
        | row(
            "fixed", boxes, **{"type": "groundtruth/object-detection", "creation-date": "2026-05-05T00:00:00"}
        )
        | row(
            "check", 1, **{"type": "groundtruth/label-verification", "creation-date": "2026-05-06T00:00:00"}
        )
    )
    [found], findings = read("manifest", "bounding-box", files)
    assert "labels are those of the attribute 'fixed'" in findings.notes
    assert found.size == (9, 9)
    _, findings = read("manifest", "bounding-box", files, attribute="old")
    assert "labels are those of the attribute 'old'" in findings.notes


BOXES = {"image_size": [{"width": 9, "height": 9}], "annotations": []}


def box_row(attribute: str, day: int, **metadata: Any) -> dict[str, Any]:
    created = {"type": "groundtruth/object-detection", "creation-date": f"2026-05-{day:02d}T00:00:00"}
    return row(attribute, BOXES, **{**created, "job-name": f"labeling-job/{attribute}", **metadata})


def test_each_row_gives_the_newest_label_that_it_has() -> None:
    corrected = box_row("boxes", 4) | box_row("boxes-fixed", 5)
    found, findings = read("manifest", "bounding-box", lines(corrected, box_row("boxes", 4)))
    assert [each.job for each in found] == ["boxes-fixed", "boxes"]
    assert findings.notes == {
        "labels are those of the attribute 'boxes-fixed'": 1,
        "labels are those of the attribute 'boxes'": 1,
    }
    assert not findings.left_out


def test_a_correction_that_failed_leaves_the_label_before_it() -> None:
    failed = box_row("boxes-fixed", 5, **{"failure-reason": "ClientError: Annotation tasks expired"})
    del failed["boxes-fixed"]
    [found], findings = read("manifest", "bounding-box", lines(box_row("boxes", 4) | failed))
    assert (found.job, findings.left_out) == ("boxes", {})


def test_a_row_that_has_no_label_of_the_task_beside_others_that_have_is_left_out() -> None:
    found, findings = read("manifest", "bounding-box", lines(row("defect", 0), box_row("boxes", 4)))
    assert [each.job for each in found] == ["boxes"]
    assert findings.left_out == {"rows without a label for the project's task": 1}


def test_rows_without_label_and_failed_ones_are_left_out_with_their_reason() -> None:
    failed = row("defect", 1, **{"failure-reason": "ClientError: Annotation tasks expired"})
    del failed["defect"]
    found, findings = read(
        "manifest",
        "image-classification",
        lines(row("defect", 0, **{"class-name": "ok"}), {"source-ref": "s3://acme/1.jpg"}, failed),
    )
    assert len(found) == 1
    assert findings.left_out == {
        "rows without a label for the project's task": 1,
        "rows that failed in their labeling job: ClientError: Annotation tasks expired": 1,
    }


def test_faults_name_their_line_and_the_rest_is_read() -> None:
    good = json.dumps(row("defect", 0, **{"class-name": "ok"}))
    files: dict[str, str | bytes] = {"a.manifest": f'{{"source-ref": 1}}\n\nnot json\n{good}\n'}
    found, findings = read("manifest", "image-classification", files, attribute="defect")
    assert [each.line for each in found] == [4]
    assert [(each.file, each.line) for each in findings.faults] == [("a.manifest", 1), ("a.manifest", 3)]


def test_a_manifest_without_an_attribute_of_the_task_says_what_it_has() -> None:
    with pytest.raises(UnreadableFile, match=r"it has defect \(groundtruth/image-classification\)"):
        read("manifest", "bounding-box", lines(row("defect", 0)))


def test_several_labels_and_their_confidences() -> None:
    several = row(
        "tags",
        [0, 3],
        **{
            "type": "groundtruth/image-classification-multilabel",
            "class-map": {"0": "dent", "3": "rust"},
            "confidence-map": {"0": 0.91, "3": 0.64},
            "human-annotated": "no",
        },
    )
    [found], _ = read("manifest", "multi-label-classification", lines(several))
    assert found.value == SeveralLabels(("dent", "rust"))
    assert (found.confidences, found.is_human) == ((0.91, 0.64), False)


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(UnreadableFile, match="not UTF-8 text"):
        read("manifest", "image-classification", {"a.manifest": b"\xff\xfe{}"}, attribute="x")


def test_boxes_keep_their_numbers() -> None:
    content = {
        "image_size": [{"width": 90, "height": 90, "depth": 3}],
        "annotations": [{"class_id": "1", "left": 4.5, "top": 8, "width": 9, "height": 7}],
    }
    boxes = row("b", content, **{"type": "groundtruth/object-detection", "class-map": {"1": "bolt"}})
    [found], _ = read("manifest", "bounding-box", lines(boxes))
    assert found.in_pixels((90, 90)) == Boxes((Box("bolt", 4.5, 8, 9, 7),))
