"""Measures the candidate and the champion on the same test images."""

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metrics import OTHER, Indices, Reals, measure
from splits import Split

_CHAMPION_SECONDS = 3600
_SHOWN_OF_FAULT = 500


class ChampionError(Exception):
    """The champion can't be asked; the message says why."""


@dataclass(frozen=True)
class Predictions:
    """What a model makes of the test images: index into the labels (or OTHER) and confidence, both (N,)."""

    predicted: Indices
    confidence: Reals
    temperature: float | None

    def measure(self, split: Split, labels: Sequence[str]) -> dict[str, Any]:
        """The metrics of these predictions of `split`."""
        return measure(split.labels.numpy(), self.predicted, self.confidence, labels, self.temperature)


def predictions_from_logits(logits: torch.Tensor, temperature: float) -> Predictions:
    """The candidate's predictions, from its logits (N, classes)."""
    if not len(logits):
        return Predictions(np.empty(0, np.int64), np.empty(0), temperature)
    confidence, predicted = torch.softmax(logits.double() / temperature, dim=1).max(dim=1)
    return Predictions(predicted.numpy(), confidence.numpy(), temperature)


def evaluate_champion(channel: Path | None, test: Split, labels: Sequence[str]) -> dict[str, Any] | None:
    """The champion's metrics on the test split; None without one, {"error": ...} if it cannot answer."""
    archives = sorted(channel.glob("*.tar.gz")) if channel is not None else []
    if not archives:
        return None
    try:
        return _ask_champion(archives[0], test, labels).measure(test, labels)
    except ChampionError as error:
        print(f"the champion cannot be evaluated: {error}", flush=True)
        return {"error": str(error)}


def write_predictions(path: Path, test: Split, predictions: Predictions, labels: Sequence[str]) -> None:
    """Write one JSON line a test image: what it is, what the candidate says, and how sure it is."""
    with path.open("w", encoding="utf-8") as file:
        for row, predicted, confidence in zip(
            test.rows, predictions.predicted, predictions.confidence, strict=True
        ):
            line = {
                "source-ref": row.source_ref,
                "image-sha256": row.sha256,
                "label": labels[row.label],
                "predicted": labels[predicted],
                "confidence": float(confidence),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _ask_champion(archive: Path, test: Split, labels: Sequence[str]) -> Predictions:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model_dir = folder / "model"
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(model_dir, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ChampionError(f"{archive.name} cannot be unpacked: {error}") from error
        answers = _run_champion(model_dir, folder, test)
        return _as_predictions(answers, labels, _temperature(model_dir))


def _run_champion(model_dir: Path, folder: Path, test: Split) -> list[dict[str, Any] | None]:
    files, answers = folder / "files.json", folder / "answers.json"
    files.write_text(json.dumps([str(file.resolve()) for file in test.files]), encoding="utf-8")
    program = Path(__file__).with_name("champion.py")
    command = [sys.executable, str(program), str(model_dir), str(files), str(answers)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_CHAMPION_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ChampionError(f"it took longer than {_CHAMPION_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise ChampionError(f"its code failed: {error.stderr.strip()[-_SHOWN_OF_FAULT:]}") from error
    document: list[dict[str, Any] | None] = json.loads(answers.read_text(encoding="utf-8"))
    return document


def _as_predictions(
    answers: Sequence[dict[str, Any] | None], labels: Sequence[str], temperature: float | None
) -> Predictions:
    """The champion may know other labels than the candidate, or none for an image that it refuses: OTHER."""
    indices = {label: index for index, label in enumerate(labels)}
    predicted = [indices.get(answer["label"], OTHER) if answer else OTHER for answer in answers]
    confidence = [float(answer["confidence"]) if answer else 0.0 for answer in answers]
    return Predictions(np.array(predicted, np.int64), np.array(confidence, np.float64), temperature)


def _temperature(model_dir: Path) -> float | None:
    try:
        card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    value = card.get("temperature") if isinstance(card, dict) else None
    return float(value) if isinstance(value, int | float) else None
