"""Measures the candidate and the champion on the same test images."""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference import MIN_CONFIDENCE, answer_of
from model_files import ModelCard
from splits import DatasetCard, Split
from task import Calibration, Outputs, Prediction

_CHAMPION_SECONDS = 3600
_SHOWN_OF_FAULT = 500


class ChampionError(Exception):
    """The champion can't be asked; the message says why."""


def evaluate_candidate(
    card: DatasetCard, model: ModelCard, outputs: Outputs, test: Split, path: Path
) -> dict[str, Any]:
    """The candidate's metrics on the test split; a line a test image goes to `path`."""
    tally = card.task.tally(card.labels, Calibration(model.temperature, model.thresholds), model.temperature)
    answers = (
        answer_of(model, output, frame, card.task.answers_min_confidence)
        for output, frame in zip((each for batch, _ in outputs for each in batch), test.frames, strict=True)
    )
    with path.open("w", encoding="utf-8") as file:
        for row, answer in zip(test.rows, answers, strict=True):
            line = {"source-ref": row.source_ref, "image-sha256": row.sha256, **tally.add(row.target, answer)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return tally.measure()


def evaluate_champion(channel: Path | None, test: Split, card: DatasetCard) -> dict[str, Any] | None:
    """The champion's metrics on the test split; None without one, {"error": ...} if it cannot answer."""
    archives = sorted(channel.glob("*.tar.gz")) if channel is not None else []
    if not archives:
        return None
    try:
        return _measure_champion(archives[0], test, card)
    except ChampionError as error:
        print(f"the champion cannot be evaluated: {error}", flush=True)
        return {"error": str(error)}


def _measure_champion(archive: Path, test: Split, card: DatasetCard) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model_dir = folder / "model"
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(model_dir, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ChampionError(f"{archive.name} cannot be unpacked: {error}") from error
        temperature, thresholds = _calibration(model_dir)
        tally = card.task.tally(card.labels, Calibration(temperature or 1.0, thresholds), temperature)
        answers = _run_champion(model_dir, folder, test, card.task.answers_min_confidence)
        try:
            for row, answer in zip(test.rows, answers, strict=True):
                tally.add(row.target, answer)
        except (KeyError, TypeError, ValueError) as error:
            raise ChampionError(f"it does not answer as {card.task.name} does: {error!r}") from error
        return tally.measure()


def _run_champion(
    model_dir: Path, folder: Path, test: Split, min_confidence: float | None
) -> Iterator[list[Prediction] | None]:
    files, answers = folder / "files.json", folder / "answers.jsonl"
    files.write_text(json.dumps([str(file.resolve()) for file in test.files]), encoding="utf-8")
    program = Path(__file__).with_name("champion.py")
    command = [sys.executable, str(program), str(model_dir), str(files), str(answers)]
    environment = {name: value for name, value in os.environ.items() if name != MIN_CONFIDENCE}
    if min_confidence is not None:
        environment[MIN_CONFIDENCE] = str(min_confidence)
    try:
        subprocess.run(  # noqa: S603
            command,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=_CHAMPION_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ChampionError(f"it took longer than {_CHAMPION_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        raise ChampionError(f"its code failed: {error.stderr.strip()[-_SHOWN_OF_FAULT:]}") from error
    with answers.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _calibration(model_dir: Path) -> tuple[float | None, dict[str, float]]:
    """The temperature and thresholds in the champion's card, where it has them."""
    try:
        card = json.loads((model_dir / "model.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None, {}
    found = card if isinstance(card, dict) else {}
    temperature, thresholds = found.get("temperature"), found.get("thresholds")
    return (
        float(temperature) if isinstance(temperature, int | float) else None,
        {
            label: float(threshold)
            for label, threshold in (thresholds if isinstance(thresholds, dict) else {}).items()
            if isinstance(threshold, int | float)
        },
    )
