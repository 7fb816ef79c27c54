"""A training's hyperparameters, as they come on the command line: `--batch-size 32`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from errors import TrainingError
from networks import PRETRAINED_PREFIX, RESNET_SMALL

FLIPS = ("none", "horizontal", "both")


@dataclass(frozen=True)
class Hyperparameters:
    """What a project may set; None: chosen from task, data and backbone (see `docs/training.md`)."""

    seed: int = 0
    backbone: str = RESNET_SMALL
    width: int | None = None
    image_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    augmentation: float = 1.0
    flip: str = "none"
    cache_mb: int = 1024

    @property
    def pretrained(self) -> bool:
        return self.backbone.startswith(PRETRAINED_PREFIX)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    parse.__doc__ = f"a whole number from {low} to {high}"
    return parse


def _real(low: float, high: float, *, open_low: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high or (open_low and value == low):
            raise ValueError
        return value

    parse.__doc__ = (
        f"a number {'above' if open_low else 'from'} {low:g} {'up ' if open_low else ''}to {high:g}"
    )
    return parse


def _backbone(text: str) -> str:
    if text != RESNET_SMALL and not (
        text.startswith(PRETRAINED_PREFIX) and len(text) > len(PRETRAINED_PREFIX)
    ):
        raise ValueError
    return text


def _flip(text: str) -> str:
    if text not in FLIPS:
        raise ValueError
    return text


_backbone.__doc__ = f"{RESNET_SMALL} or {PRETRAINED_PREFIX}<id or path>"
_flip.__doc__ = f"one of {', '.join(FLIPS)}"

# How each is read; the function's docstring says what it takes, and is what a wrong value is answered with.
_PARSERS: dict[str, Callable[[str], Any]] = {
    "seed": _whole(0, 2**32 - 1),
    "backbone": _backbone,
    "width": _whole(4, 256),
    "image_size": _whole(32, 1024),
    "epochs": _whole(1, 10_000),
    "patience": _whole(1, 10_000),
    "batch_size": _whole(2, 4096),
    "learning_rate": _real(0, 10, open_low=True),
    "weight_decay": _real(0, 1),
    "label_smoothing": _real(0, 0.5),
    "augmentation": _real(0, 2),
    "flip": _flip,
    "cache_mb": _whole(0, 1_000_000),
}


def parse_hyperparameters(arguments: Sequence[str]) -> Hyperparameters:
    """Read `--name value` pairs; TrainingError for an unknown name (naming the known) or a wrong value."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--") or name not in _PARSERS:
            known = ", ".join(field.name.replace("_", "-") for field in fields(Hyperparameters))
            raise TrainingError(f"unknown hyperparameter {option.removeprefix('--')!r}; known are: {known}")
        if not rest:
            raise TrainingError(f"hyperparameter {option.removeprefix('--')} has no value")
        text = rest.pop(0)
        try:
            values[name] = _PARSERS[name](text)
        except ValueError:
            expected = _PARSERS[name].__doc__
            raise TrainingError(
                f"hyperparameter {option.removeprefix('--')} is {text!r}; it must be {expected}"
            ) from None
    return Hyperparameters(**values)
