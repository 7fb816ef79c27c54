"""Asks a model what it makes of images, by the model's own serving code.

Run as a program in a process of its own, `python champion.py MODEL_DIR FILES ANSWERS`: the champion may have
been trained by other versions of the modules that the candidate is trained with, and must answer as its
endpoint does. FILES is a JSON list of paths; ANSWERS is written with a line of JSON a file: the predictions
as the endpoint answers them, or null for an image that the model refuses.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main(model_dir: str, files: str, answers: str) -> None:
    """Answer for each file, in order."""
    # This program's own folder holds the candidate's modules: the champion's must be found instead.
    sys.path[0] = str(Path(model_dir) / "code")
    serving = importlib.import_module("inference")
    model = serving.model_fn(model_dir)
    paths = json.loads(Path(files).read_text(encoding="utf-8"))
    with Path(answers).open("w", encoding="utf-8") as lines:
        for path in paths:
            lines.write(json.dumps(_answer(serving, model, Path(path))) + "\n")


def _answer(serving: Any, model: Any, path: Path) -> list[dict[str, Any]] | None:
    try:
        image = serving.input_fn(path.read_bytes(), "application/x-image")
        prediction = serving.predict_fn(image, model)
    except ValueError:
        return None
    body, _ = serving.output_fn(prediction, "application/json")
    predictions: list[dict[str, Any]] = json.loads(body)["predictions"]
    return predictions


if __name__ == "__main__":
    main(*sys.argv[1:])
