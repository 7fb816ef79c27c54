"""How to fit a network: what the hyperparameters, the task and the data have decided together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A task's defaults: `scratch` and `pretrained` are (epochs at most, peak learning rate)."""

    scratch: tuple[int, float]
    pretrained: tuple[int, float]
    patience: int
    batch_divisor: int  # of the batch size that the number of images suggests
    fewest_steps: int  # of an epoch: batch statistics and schedule need something to go on


@dataclass(frozen=True)
class Plan:
    """How to fit: everything that the hyperparameters left open is decided here."""

    seed: int
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    augmentation: float
    flip: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
