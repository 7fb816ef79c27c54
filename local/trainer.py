"""Loupe's own trainer, which stand-ins run in the place of AWS's: the program, and what it is told.

It is started as SageMaker's script mode starts it, with folders in SM_ variables.
"""

from __future__ import annotations

import os
from pathlib import Path

PROGRAM = Path(__file__).parents[1] / "trainer" / "train.py"


def environment(
    *,
    dataset: Path,
    copies: Path,
    model: Path,
    results: Path,
    failure: Path,
    checkpoints: Path | None = None,
) -> dict[str, str]:
    """The trainer's variables. `copies` holds the images, each under its SHA-256; `results` takes what is not
    part of the model, the folder `failure` a file of that name with the reason; `checkpoints` is for what it
    goes on from."""
    return {
        **({"CHECKPOINT_DIR": str(checkpoints)} if checkpoints else {}),
        "SM_CHANNEL_DATASET": str(dataset),
        "SM_CHANNEL_IMAGES": str(copies / "by-key"),  # where none is
        "SM_CHANNEL_COPIES": str(copies),
        "SM_MODEL_DIR": str(model),
        "SM_OUTPUT_DATA_DIR": str(results),
        "SM_OUTPUT_DIR": str(failure),
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        "PYTHONUNBUFFERED": "1",
    }
