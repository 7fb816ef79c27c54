"""What Rekognition Custom Labels refuses is found before it is asked."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from loupe.domain.custom_labels.codes import MENDING, advice
from loupe.domain.custom_labels.manifests import custom_labels_row
from loupe.domain.custom_labels.report import ManifestsRefused, Report
from loupe.domain.custom_labels.validation import Validation, unfit_images
from loupe.domain.projects import TaskType
from tests.unit.rekognition.rows import METADATA, boxed, image, labeled, lines, several

GOOD = lines(*(labeled(n, label, i) for n, (label, i) in enumerate([("ok", 0), ("scratch", 1)] * 10)))
TEST = lines(labeled(100, "ok", 0), labeled(101, "scratch", 1))


def validate(
    train: Iterable[str],
    test: Iterable[str] | None = None,
    task: TaskType = "image-classification",
    unfit: dict[str, str] | None = None,
) -> tuple[Report, list[dict[str, Any]]]:
    """The report, and the rows of the training dataset. Without `test`, Rekognition distributes."""
    validation = Validation(task, "raw", unfit or {})
    used = [json.loads(line) for line in validation.usable("train", "train.manifest", train)]
    if test is not None:
        list(validation.usable("test", "test.manifest", test))
    return validation.report(distributed=test is None), used


def codes_of(line: str, task: TaskType = "image-classification", **given: Any) -> set[str]:
    """What is said of one row among good ones, as row and as warning."""
    good = {
        "image-classification": GOOD,
        "multi-label-classification": lines(several(1, ok=0, dent=1), several(2, ok=0, dent=1)),
        "bounding-box": lines(boxed(1, (1, 1, 50, 50)), boxed(2, (1, 1, 50, 50))),
    }[task]
    report, _ = validate([*good, line], task=task, **given)
    found = {finding.code for finding in report.findings if finding.line == len(good) + 1}
    assert {f.code for f in report.findings} - found <= {"ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"}
    return found


def changed(row: dict[str, Any], **metadata: Any) -> str:
    """A row whose label has other metadata; None leaves a member out."""
    attribute = next(name for name in ("label", "labels", "boxes") if name in row)
    members = {**row[f"{attribute}-metadata"], **metadata}
    kept = {name: value for name, value in members.items() if value is not None}
    return json.dumps({**row, f"{attribute}-metadata": kept})


def without(row: dict[str, Any], member: str) -> str:
    return json.dumps({name: value for name, value in row.items() if name != member})


def test_a_good_dataset_version_passes_without_a_word() -> None:
    report, rows = validate(GOOD, TEST)
    assert report.ok
    assert report.codes == {}
    assert len(rows) == len(GOOD)
    assert set(rows[0]) == {"source-ref", "label", "label-metadata"}
    report.require()


def test_several_labels_become_an_attribute_each() -> None:
    row = custom_labels_row(several(1, ok=0, dent=2), "multi-label-classification")
    single = {**METADATA, "confidence": 0.75}
    assert row == {
        "source-ref": "s3://raw/parts/1.png",
        "labels-0": 0,
        "labels-0-metadata": {**single, "class-name": "ok"},
        "labels-2": 2,
        "labels-2-metadata": {**single, "class-name": "dent"},
    }


def test_half_of_the_labels_is_enough_to_test() -> None:
    report, _ = validate(GOOD, lines(labeled(100, "ok", 0)))
    assert report.codes == {}


def test_boxes_stay_as_they_are() -> None:
    row = boxed(1, (4, 8, 15, 16))
    kept = {name: row[name] for name in ("source-ref", "boxes", "boxes-metadata")}
    assert custom_labels_row(row, "bounding-box") == kept


def test_an_image_with_none_of_several_labels_is_passed_over_and_is_not_bad() -> None:
    report, rows = validate(
        lines(several(1, ok=0, dent=1), several(2, ok=0), several(3)), task="multi-label-classification"
    )
    assert [row["source-ref"] for row in rows] == ["s3://raw/parts/1.png", "s3://raw/parts/2.png"]
    assert report.codes["WARNING_UNANNOTATED_RECORD"] == 1
    assert report.datasets["train"].bad == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "ERROR_INVALID_JSON_LINE"),
        ("{", "ERROR_INVALID_JSON_LINE"),
        ("[1]", "ERROR_INVALID_JSON_LINE"),
        (json.dumps(labeled(50) | {"note": "x" * 100_000}), "ERROR_INVALID_JSON_LINE"),
        (without(labeled(50), "source-ref"), "ERROR_MISSING_SOURCE_REF"),
        (json.dumps(labeled(50) | {"source-ref": "raw/50.png"}), "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (json.dumps(labeled(50) | {"source-ref": 5}), "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (without(labeled(50), "label"), "ERROR_NO_LABEL_ATTRIBUTES"),
        (without(labeled(50), "label-metadata"), "ERROR_NO_LABEL_ATTRIBUTES"),
        (json.dumps(labeled(50) | {"label": "ok"}), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (json.dumps(labeled(50) | {"label": True}), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (json.dumps(labeled(50) | {"label-metadata": 1}), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (changed(labeled(50), type=None), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (
            changed(labeled(50), **{"human-annotated": "maybe"}),
            "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
        ),
        (changed(labeled(50), **{"creation-date": None}), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (changed(labeled(50), **{"class-name": None}), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (changed(labeled(50), confidence=1.5), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (changed(labeled(50), **{"class-name": "x" * 257}), "ERROR_INVALID_LABEL_NAME_LENGTH"),
        (json.dumps(labeled(50, width=63)), "ERROR_INVALID_IMAGE"),
        (json.dumps(labeled(50, height=4097)), "ERROR_INVALID_IMAGE"),
        (json.dumps(labeled(50, width=64, height=1281)), "ERROR_INVALID_IMAGE"),
        (GOOD[3], "DUPLICATE_SOURCE_REF"),
        (json.dumps(image(50)), "WARNING_UNANNOTATED_RECORD"),
    ],
)
def test_a_bad_row_is_named_by_rekognitions_code(line: str, code: str) -> None:
    assert codes_of(line) == {code}


def test_another_type_of_label_is_not_trained_on() -> None:
    expected = {"ERROR_UNSUPPORTED_USE_CASE_TYPE", "ERROR_NO_VALID_LABEL_ATTRIBUTES"}
    assert codes_of(changed(labeled(50), type="groundtruth/semantic-segmentation")) == expected


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        (json.dumps(boxed(9, (-1, 0, 20, 20), (0, 0, 9, 9))), {"ERROR_INVALID_BOUNDING_BOX"}),
        (
            json.dumps(boxed(9, (630, 0, 20, 20))),
            {"ERROR_INVALID_BOUNDING_BOX", "ERROR_NO_VALID_ANNOTATIONS"},
        ),
        (
            json.dumps(boxed(9, (0, 0, 3, 30), (0, 0, 99, 99), width=4000)),
            {"ERROR_BOUNDING_BOX_TOO_SMALL"},
        ),
        (json.dumps(boxed(9, *[(0, 0, 9, 9)] * 51)), {"ERROR_TOO_MANY_BOUNDING_BOXES"}),
        (json.dumps(boxed(9, (0, 0, 9, 9), width=5000)), {"ERROR_INVALID_IMAGE_DIMENSION"}),
        (
            changed(boxed(9, (0, 0, 9, 9)), objects=[{"confidence": None}]),
            {"ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"},
        ),
        (changed(boxed(9, (0, 0, 9, 9)), objects=[]), {"ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"}),
        (
            changed(boxed(9, (0, 0, 9, 9)), **{"class-map": {"1": "bolt"}}),
            {"ERROR_MISSING_CLASS_MAP_ID"},
        ),
        (
            changed(boxed(9, (0, 0, 9, 9)), **{"class-map": None}),
            {"ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"},
        ),
        (json.dumps(boxed(9) | {"boxes": []}), {"ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"}),
        (json.dumps(boxed(9)), {"WARNING_NO_ANNOTATIONS", "WARNING_NO_ATTRIBUTE_ANNOTATIONS"}),
    ],
)
def test_bad_boxes_are_named_by_rekognitions_codes(line: str, codes: set[str]) -> None:
    assert codes_of(line, "bounding-box") == codes


def test_a_class_of_several_labels_that_the_class_map_lacks_is_a_bad_row() -> None:
    line = changed(several(9, ok=0), **{"class-map": {}})
    found = codes_of(line, "multi-label-classification")
    assert found == {"ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"}


def test_images_that_are_too_large_or_no_jpeg_or_png_are_known_from_the_label_lines() -> None:
    label_lines = [
        json.dumps({"sha256": f"{50:064x}", "bytes": 15_000_001, "format": "png"}),
        json.dumps({"sha256": f"{51:064x}", "bytes": 15_000_000, "format": "jpeg"}),
        json.dumps({"sha256": f"{52:064x}", "bytes": 10, "format": "tiff"}),
    ]
    unfit = unfit_images(label_lines)
    assert set(unfit) == {f"{50:064x}", f"{52:064x}"}
    assert codes_of(json.dumps(labeled(50)), unfit=unfit) == {"ERROR_INVALID_IMAGE"}


def test_a_finding_names_manifest_line_and_remedy() -> None:
    report, _ = validate([*GOOD, "{"], TEST)
    assert report.ok
    told = report.to_json()["findings"]
    assert [(each["manifest"], each["line"], each["code"]) for each in told] == [
        ("train.manifest", len(GOOD) + 1, "ERROR_INVALID_JSON_LINE")
    ]
    assert told[0]["detail"]
    assert told[0]["mend"]


def test_a_fifth_of_bad_rows_goes_on_without_them_and_more_stops() -> None:
    report, rows = validate([*GOOD, *["{"] * 5], TEST)
    assert report.ok
    assert len(rows) == len(GOOD)
    report, _ = validate([*GOOD, *["{"] * 6], TEST)
    assert not report.ok
    with pytest.raises(ManifestsRefused, match="6 of 26 rows of the train dataset are bad"):
        report.require()


def refused(
    train: Iterable[str], test: Iterable[str] | None, task: TaskType = "image-classification"
) -> set[str]:
    report, _ = validate(train, test, task)
    assert not report.ok
    return {finding.code for finding in report.findings if finding.line is None}


def test_a_dataset_without_rows_is_refused() -> None:
    assert "ERROR_EMPTY_MANIFEST" in refused([], TEST)


def test_a_dataset_of_one_label_is_refused_but_for_boxes() -> None:
    alone = lines(labeled(1), labeled(2))
    assert refused(alone, TEST) == {"ERROR_MANIFEST_TOO_FEW_LABELS"}
    report, _ = validate(lines(boxed(1, (0, 0, 9, 9))), lines(boxed(2, (0, 0, 9, 9))), "bounding-box")
    assert report.ok


def test_labels_that_only_bad_rows_have_are_not_usable() -> None:
    train = [*lines(*(labeled(n) for n in range(10))), json.dumps(labeled(20, "scratch", 1, width=10))]
    assert "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS" in refused(train, TEST)


def test_more_than_250_labels_are_refused() -> None:
    many = lines(*(labeled(n, f"label {n}", n) for n in range(251)))
    others = lines(*(labeled(n + 1000, f"label {n}", n) for n in range(250)))
    assert refused(many, others) == {"ERROR_MANIFEST_TOO_MANY_LABELS"}


def test_half_of_the_trained_labels_must_occur_among_the_test_images() -> None:
    train = lines(*(labeled(n, str(n % 5), n % 5) for n in range(10)))
    test = lines(labeled(100, "0", 0), labeled(101, "1", 1))
    assert refused(train, test) == {"ERROR_INSUFFICIENT_LABEL_OVERLAP"}
    bad = lines(*(labeled(n + 102, "2", 2, width=10) for n in range(1)))
    assert "ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP" in refused(train, [*test, *bad])


def test_images_must_lie_in_the_one_raw_data_bucket() -> None:
    foreign = [line.replace("s3://raw/", "s3://elsewhere/") for line in GOOD]
    assert refused(foreign, TEST) == {"ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET"}
    assert refused([*GOOD[:10], *foreign[10:]], TEST) == {"ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS"}


def test_an_image_of_both_datasets_is_a_bad_row_of_the_second() -> None:
    report, _ = validate(GOOD, [*TEST, GOOD[0], *lines(labeled(102), labeled(103))])
    assert report.codes == {"IMAGE_IN_BOTH_DATASETS": 1}
    assert report.datasets["test"].bad == 1


def test_a_label_of_a_single_image_can_not_be_distributed() -> None:
    train = [*GOOD, json.dumps(labeled(99, "dent", 2))]
    assert refused(train, None) == {"ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE"}


def test_a_manifest_that_is_missing_is_told() -> None:
    validation = Validation("image-classification", "raw", {})
    validation.missing("test.manifest")
    report = validation.report(distributed=True)
    assert "ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT" in report.codes
    assert not report.ok


def test_more_rows_than_a_dataset_takes_are_refused_and_told_in_short() -> None:
    report, _ = validate(("{" for _ in range(250_001)), TEST)
    assert report.codes["ERROR_INVALID_JSON_LINE"] == 250_001
    assert sum(f.code == "ERROR_INVALID_JSON_LINE" for f in report.findings) == 100
    assert "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM" in report.codes


def test_a_message_of_rekognition_is_explained_by_its_code() -> None:
    message = "Manifest invalid: ERROR_INVALID_IMAGES_S3_BUCKET_OWNER."
    assert advice(message) == (
        f"ERROR_INVALID_IMAGES_S3_BUCKET_OWNER: {MENDING['ERROR_INVALID_IMAGES_S3_BUCKET_OWNER']}"
    )
    assert advice("Amazon Rekognition experienced a service issue.") is None
