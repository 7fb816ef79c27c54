"""The codes by which Rekognition Custom Labels says what is wrong with a manifest, and how to mend it.

The source is its developer guide ("Debugging a failed model training", "Debugging datasets"). The last two
codes of rows have no name there: the guide states the rule, and reports its breach without a code.
"""

import re
from typing import Literal

_CODE = re.compile(r"(?:ERROR|WARNING)_[A-Z0-9_]+")

Scope = Literal["row", "warning", "manifest", "file"]
"""`row`: the row is not used, and counts towards the share of bad rows that is let pass. `warning`: the row
is valid, and not trained on. `manifest` and `file`: nothing is trained."""

ROW_CODES = {
    "ERROR_INVALID_JSON_LINE": (
        "make the line one JSON object, of at most 100,000 characters, and remove blank lines"
    ),
    "ERROR_MISSING_SOURCE_REF": 'add "source-ref": "s3://bucket/key"',
    "ERROR_INVALID_SOURCE_REF_FORMAT": "write source-ref as s3://bucket/key",
    "ERROR_NO_LABEL_ATTRIBUTES": (
        "add the label attribute and its metadata, <attribute>-metadata: both are needed"
    ),
    "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT": (
        "write a class as its number, boxes as image_size and annotations with class_id, left, "
        "top, width and height"
    ),
    "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT": (
        "complete the metadata: type, human-annotated (yes or no), creation-date, and class-name "
        "with a confidence from 0 to 1, or objects with a class-map"
    ),
    "ERROR_NO_VALID_LABEL_ATTRIBUTES": (
        "use groundtruth/image-classification or groundtruth/object-detection"
    ),
    "ERROR_UNSUPPORTED_USE_CASE_TYPE": (
        "use groundtruth/image-classification or groundtruth/object-detection"
    ),
    "ERROR_INVALID_LABEL_NAME_LENGTH": "shorten the label to 256 characters",
    "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE": "give objects one confidence for each of the annotations",
    "ERROR_MISSING_CLASS_MAP_ID": "add the class to class-map",
    "ERROR_INVALID_IMAGE": (
        "use a PNG or JPEG of at most 15 MB, with sides of 64 to 4,096 pixels and at most 20:1; "
        "scale it, upload it again and have it labeled"
    ),
    "ERROR_INVALID_IMAGE_DIMENSION": "scale the image to sides of 64 to 4,096 pixels, its boxes with it",
    "ERROR_INVALID_BOUNDING_BOX": "draw the box within the image",
    "ERROR_BOUNDING_BOX_TOO_SMALL": (
        "draw the box larger, or leave it out: training reduces the image's longest side to 1,280"
        " pixels, and the box must have more than one pixel a side then"
    ),
    "ERROR_TOO_MANY_BOUNDING_BOXES": "leave at most 50 boxes, or cut the image into parts",
    "ERROR_NO_VALID_ANNOTATIONS": "leave at least one box that is valid, or no box at all",
    "DUPLICATE_SOURCE_REF": "name each image once in a dataset",
    "IMAGE_IN_BOTH_DATASETS": "take the image out of the training or the test dataset",
}
"""How to mend a row, by code."""

WARNING_CODES = {
    "WARNING_UNANNOTATED_RECORD": "nothing has to be done: an image without label is not trained on",
    "WARNING_NO_ANNOTATIONS": "nothing has to be done: an image without boxes is not trained on",
    "WARNING_NO_ATTRIBUTE_ANNOTATIONS": "nothing has to be done: an image without boxes is not trained on",
}
"""What a warning asks for, by code."""

MANIFEST_CODES = {
    "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM": "train on at most 250,000 images",
    "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST": "mend the rows; up to a fifth of them may be bad",
    "ERROR_TOO_MANY_RECORDS_IN_ERROR": "mend the rows; up to a fifth of them may be bad",
    "ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS": (
        "keep all images of the project in one bucket: the raw-data bucket"
    ),
    "ERROR_INVALID_PERMISSIONS_IMAGES_S3_BUCKET": (
        "keep the images in the raw-data bucket: the stack's roles may read no other"
    ),
    "ERROR_INVALID_IMAGES_S3_BUCKET_OWNER": "keep images and manifests in buckets of one AWS account",
    "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_AUTOSPLIT": "label more images with the label",
    "ERROR_INSUFFICIENT_IMAGES_PER_LABEL_FOR_DISTRIBUTE": (
        "label more images with the label, or set training.rekognition.test_dataset to separate"
    ),
    "ERROR_MANIFEST_TOO_FEW_LABELS": "label images with at least two labels (one, for boxes)",
    "ERROR_MANIFEST_TOO_MANY_LABELS": "use at most 250 labels",
    "ERROR_INSUFFICIENT_LABEL_OVERLAP": (
        "label more images: at least half of the labels that are trained must occur among the test images"
    ),
    "ERROR_INSUFFICIENT_USABLE_LABEL_OVERLAP": (
        "mend the bad rows: at least half of the labels that are trained must occur among the "
        "test images that can be used"
    ),
    "ERROR_MANIFEST_TOO_FEW_USABLE_LABELS": "mend the bad rows: too few labels are left without them",
    "ERROR_FAILED_IMAGES_S3_COPY": (
        "check that the images are still there and that the state machine's role may read them"
    ),
}
"""How to mend a manifest, by code."""

FILE_CODES = {
    "ERROR_MANIFEST_INACCESSIBLE_OR_UNSUPPORTED_FORMAT": (
        "check that the dataset version is complete, and that the manifest's name ends in .manifest"
    ),
    "ERROR_EMPTY_MANIFEST": "label images; the manifest has no row",
    "ERROR_MANIFEST_SIZE_TOO_LARGE": "train on fewer images: a manifest may have 1 GB",
    "ERROR_INVALID_PERMISSIONS_MANIFEST_S3_BUCKET": (
        "let the state machine's role read the workspace bucket"
    ),
    "ERROR_CANNOT_WRITE_OUTPUT_S3_BUCKET": "let the state machine's role write the workspace bucket",
}
"""How to mend a file, by code."""

MENDING: dict[str, str] = {**ROW_CODES, **WARNING_CODES, **MANIFEST_CODES, **FILE_CODES}
"""How to mend it, by code."""


def scope(code: str) -> Scope:
    """What a code is about."""
    if code in ROW_CODES:
        return "row"
    if code in WARNING_CODES:
        return "warning"
    return "manifest" if code in MANIFEST_CODES else "file"


def advice(text: str) -> str | None:
    """How to mend what a message of Rekognition names by its code; None if it names none that is known."""
    named = (code for code in _CODE.findall(text) if code in MENDING)
    return next((f"{code}: {MENDING[code]}" for code in named), None)
