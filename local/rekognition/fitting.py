"""Trains Loupe's own network on a project's entries, in the place of Rekognition's.

The trainer is a program of its own, which reads folders and leaves its results in files.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import trainer
from local.rekognition.entries import BOXES, Entry
from local.sagemaker.children import TRAINING_NICENESS, OutputReader, kill, start_guarded

Document = dict[str, Any]

_VALIDATION_SHARE = 0.15
_TICK = 0.2
_ASSUMED_THRESHOLD = 0.5

_ATTRIBUTES = {
    "image-classification": ("label", "groundtruth/image-classification"),
    "multi-label-classification": ("labels", "groundtruth/image-classification-multilabel"),
    "bounding-box": ("boxes", "groundtruth/object-detection"),
}


class FittingError(Exception):
    """The training failed; the text is for a StatusMessage."""


@dataclass(frozen=True)
class LabeledImage:
    """An entry with its image's bytes on disk."""

    entry: Entry
    sha256: str


def task_of(entries: Iterable[Entry]) -> str:
    """What kind of model the entries ask for: boxes, one label an image, or several."""
    found = list(entries)
    if any(entry.kind == BOXES for entry in found):
        return "bounding-box"
    if all(len(entry.labels) == 1 for entry in found):
        return "image-classification"
    return "multi-label-classification"


class ImageFolder:
    """Images of a training, each once, under the SHA-256 of its bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, entry: Entry, content: bytes) -> LabeledImage:
        digest = hashlib.sha256(content).hexdigest()
        (self._folder / digest).write_bytes(content)
        return LabeledImage(entry, digest)


def write_dataset(folder: Path, train: Sequence[LabeledImage], test: Sequence[LabeledImage]) -> str:
    """The manifests and the card that the trainer reads; returns the task. Labels are those of `train`."""
    task = task_of(image.entry for image in (*train, *test))
    labels = sorted({name for image in train for name in image.entry.names})
    known = set(labels)
    validation = _validation(train)
    splits = {
        "train": [image for image in train if image.sha256 not in validation],
        "validation": [image for image in train if image.sha256 in validation],
        "test": [image for image in test if known.issuperset(image.entry.names)],
    }
    folder.mkdir(parents=True)
    for split, images in splits.items():
        lines = (json.dumps(_row(image, task, labels)) + "\n" for image in images)
        (folder / f"{split}.manifest").write_text("".join(lines), encoding="utf-8")
    card = {"task": task, "labels": labels, "version": "0001"}
    (folder / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
    return task


def _validation(train: Sequence[LabeledImage]) -> set[str]:
    """By hash, of each label's images its share, and none of a label that has few."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for image in train:
        by_label[min(image.entry.names, default="")].append(image.sha256)
    return {
        digest
        for digests in by_label.values()
        if len(digests) > 1
        for digest in sorted(digests)[: max(1, int(len(digests) * _VALIDATION_SHARE))]
    }


def _row(image: LabeledImage, task: str, labels: Sequence[str]) -> Document:
    entry = image.entry
    attribute, kind = _ATTRIBUTES[task]
    indexes = [labels.index(name) for name in entry.names]
    classes = {str(index): labels[index] for index in sorted(set(indexes))}
    value: Any
    metadata: Document = {"type": kind, "human-annotated": "yes", "job-name": "labeling-job/rekognition"}
    metadata["creation-date"] = "2020-01-01T00:00:00.000000"
    if task == "image-classification":
        value, metadata["class-name"], metadata["confidence"] = indexes[0], entry.labels[0], 1.0
    elif task == "multi-label-classification":
        value, metadata["class-map"] = indexes, classes
        metadata["confidence-map"] = dict.fromkeys(classes, 1.0)
    else:
        pairs = zip(indexes, entry.boxes, strict=True)
        value = {
            "image_size": [_size(entry)],
            "annotations": [
                {"class_id": i, "left": b.left, "top": b.top, "width": b.width, "height": b.height}
                for i, b in pairs
            ],
        }
        metadata["objects"], metadata["class-map"] = [{"confidence": 1.0}] * len(indexes), classes
    return {
        "source-ref": f"s3://{entry.bucket}/{entry.key}",
        "image-sha256": image.sha256,
        attribute: value,
        f"{attribute}-metadata": metadata,
    }


def _size(entry: Entry) -> Document:
    """The size that the entry itself gives for its image."""
    for value in json.loads(entry.text).values():
        if isinstance(value, dict) and "image_size" in value:
            size: Document = value["image_size"][0]
            return size
    raise ValueError(f"the entry of {entry.key} has no image_size")


def fit(folder: Path, write_log: Callable[[list[str]], None], is_wanted: Callable[[], bool]) -> None:
    """Run the trainer on `folder`/dataset and `folder`/images, into `folder`/model and `folder`/output.

    Raises FittingError. Rekognition takes no hyperparameters: the trainer's defaults apply, unless whoever
    started the local cloud is in a hurry and set `LOUPE_REKOGNITION_EPOCHS`.
    """
    for name in ("model", "output"):
        (folder / name).mkdir()
    variables = trainer.environment(
        dataset=folder / "dataset",
        copies=folder / "images",
        model=folder / "model",
        results=folder / "output",
        failure=folder / "output",
    )
    command = [sys.executable, str(trainer.PROGRAM)]
    if epochs := os.environ.get("LOUPE_REKOGNITION_EPOCHS"):
        command += ["--epochs", epochs]
    process = start_guarded(command, trainer.PROGRAM.parent, variables, niceness=TRAINING_NICENESS)
    output = OutputReader(process, write_log)
    _wait(process, is_wanted)
    output.join()
    if process.returncode != 0:
        failure = folder / "output" / "failure"
        reason = failure.read_text(encoding="utf-8").strip() if failure.exists() else "the trainer broke down"
        raise FittingError(reason)


def _wait(process: subprocess.Popen[bytes], is_wanted: Callable[[], bool]) -> None:
    while True:
        try:
            process.wait(_TICK)
        except subprocess.TimeoutExpired:
            if not is_wanted():
                kill(process)
        else:
            return


@dataclass(frozen=True)
class Evaluation:
    """How the model did on the test entries; `thresholds` are those of its labels, between 0 and 1."""

    summary: Document
    f1: float
    thresholds: dict[str, float]


def evaluate(folder: Path) -> Evaluation:
    """The evaluation summary in Rekognition's form, from what the trainer measured."""
    measured = json.loads((folder / "output" / "evaluation.json").read_text(encoding="utf-8"))["candidate"]
    card = json.loads((folder / "model" / "model.json").read_text(encoding="utf-8"))
    thresholds = _thresholds(card)
    results = [
        {
            "Label": label,
            "Metrics": {
                "F1Score": metrics["f1"],
                "Precision": metrics["precision"],
                "Recall": metrics["recall"],
                "Threshold": thresholds[label],
            },
        }
        for label, metrics in measured["per_label"].items()
    ]
    means = {name: _mean(results, name) for name in ("F1Score", "Precision", "Recall")}
    aggregated = {**means, "ConfusionMatrix": _confusion(measured, list(measured["per_label"]))}
    summary = {
        "Version": 1,
        "AggregatedEvaluationResults": aggregated,
        "LabelEvaluationResults": results,
        "EvaluationDetails": {"Labels": list(measured["per_label"])},
    }
    return Evaluation(summary, means["F1Score"], thresholds)


def _thresholds(card: Mapping[str, Any]) -> dict[str, float]:
    """The model's own by label; where it has none, more likely than not."""
    known = card.get("thresholds") or {}
    if isinstance(known, list):
        known = dict(zip(card["labels"], known, strict=True))
    return {label: float(known.get(label, _ASSUMED_THRESHOLD)) for label in card["labels"]}


def _mean(results: Sequence[Document], metric: str) -> float:
    return sum(result["Metrics"][metric] for result in results) / len(results) if results else 0.0


def _confusion(measured: Mapping[str, Any], labels: Sequence[str]) -> list[Document]:
    """Each pair of labels that occurs, with its share of the test images."""
    matrix = measured.get("confusion_matrix") or []
    total = sum(map(sum, matrix)) or 1
    return [
        {"GroundTruthLabel": labels[true], "PredictedLabel": labels[predicted], "Value": count / total}
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count
    ]
