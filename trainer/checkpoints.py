"""Where a training that was killed goes on: its whole state after each epoch, in one file.

SageMaker copies the folder to S3 while a job runs, and from there before another one begins.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

State = dict[str, Any]
"""Tensors, numbers and text, in dictionaries and lists: what is loaded can run no code."""

_FILE = "checkpoint.pt"
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Checkpoints:
    """The newest checkpoint of one training. `training` stands for all that makes it this one: the checkpoint
    of another is left alone. Without a folder nothing is kept."""

    folder: Path | None
    training: str

    def load(self) -> State | None:
        """What was saved last, on the CPU; None if there is nothing of use, which is told."""
        if self.folder is None or not (self.folder / _FILE).exists():
            return None
        try:
            found: State = torch.load(self.folder / _FILE, map_location="cpu", weights_only=True)
            training, state = found["training"], found["state"]
        except _UNREADABLE as error:
            print(f"the checkpoint cannot be read ({error}): starting anew", flush=True)
            return None
        if training != self.training:
            print("the checkpoint is of another training: starting anew", flush=True)
            return None
        return dict(state)

    def save(self, state: State) -> None:
        """Replace what was saved before: at no moment is there half a file. What can't be saved is told; the
        training goes on."""
        if self.folder is None:
            return
        draft = self.folder / f"{_FILE}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save({"training": self.training, "state": state}, draft)
            draft.replace(self.folder / _FILE)
        except (OSError, RuntimeError) as error:
            print(f"no checkpoint was written: {error}", flush=True)
