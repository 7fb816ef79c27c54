"""Fits a network to a training split, and stops when validation stops getting better."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from augmentation import Augmentation
from pixels import normalise
from splits import Split

_WARM_UP = 0.1  # of all steps
_MIN_STEPS = 8  # an epoch of a tiny dataset, so that batch statistics and schedule have something to go on
_EVALUATION_BATCH = 128


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


@dataclass(frozen=True)
class Epoch:
    """One pass: losses are cross-entropies (nats); validation is None where that split is empty."""

    number: int
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Fit:
    """What came of fitting: the best epoch's number, and all epochs."""

    best_epoch: int
    history: tuple[Epoch, ...]

    def history_as_json(self) -> list[dict[str, Any]]:
        return [asdict(epoch) for epoch in self.history]


def fit(network: nn.Module, train: Split, validation: Split, plan: Plan, device: torch.device) -> Fit:
    """Fit `network` in place; it is left on `device`, in evaluation mode, with the weights of its best epoch.

    Best is the lowest validation loss, which is finer than accuracy where validation images are few. Without
    any, all epochs run and the last one counts. One line an epoch goes to standard output.
    """
    network.to(device)
    trainer = _Trainer(network, train, plan, device)
    history: list[Epoch] = []
    best = _Best()
    for number in range(1, plan.epochs + 1):
        started = time.monotonic()
        train_loss = trainer.run_epoch()
        loss, accuracy = _validate(network, validation, plan, device)
        history.append(Epoch(number, train_loss, loss, accuracy, time.monotonic() - started))
        _tell(history[-1], plan.epochs)
        best.consider(history[-1], network)
        if number - best.number >= plan.patience:
            print(f"validation was no better for {plan.patience} epochs: stopping", flush=True)
            break
    network.load_state_dict(best.state)
    network.eval()
    return Fit(best.number, tuple(history))


def predict_logits(network: nn.Module, split: Split, plan: Plan, device: torch.device) -> torch.Tensor:
    """The network's answers for a split's images, in order: logits (N, classes) on the CPU, N > 0."""
    network.eval()
    every = range(len(split))
    chunks = [list(every[start : start + _EVALUATION_BATCH]) for start in every[::_EVALUATION_BATCH]]
    with torch.inference_mode():
        answers = [
            network(normalise(_to_unit(pixels, device), plan.mean, plan.std)).float().cpu()
            for pixels, _ in split.batches(chunks)
        ]
    return torch.cat(answers)


class _Trainer:
    """Optimizer, schedule and augmentation of one training, and the passes over its images."""

    def __init__(self, network: nn.Module, train: Split, plan: Plan, device: torch.device) -> None:
        self._network, self._train, self._plan, self._device = network, train, plan, device
        generator = torch.Generator().manual_seed(plan.seed)
        self._augment = Augmentation(plan.augmentation, plan.flip, generator)
        self._steps = max(_MIN_STEPS, math.ceil(len(train) / plan.batch_size))
        self._indices = _endless_batches(len(train), plan.batch_size, generator)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(network, plan.weight_decay), lr=plan.learning_rate
        )
        total = self._steps * plan.epochs
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: _learning_rate(step, total)
        )
        self._precision = _Precision(device)

    def run_epoch(self) -> float:
        """One pass over the images; the mean loss."""
        self._network.train()
        total = torch.zeros((), device=self._device)
        for pixels, labels in self._train.batches([next(self._indices) for _ in range(self._steps)]):
            images = normalise(self._augment(_to_unit(pixels, self._device)), self._plan.mean, self._plan.std)
            with self._precision.context():
                logits = self._network(images)
                loss = functional.cross_entropy(
                    logits, labels.to(self._device), label_smoothing=self._plan.label_smoothing
                )
            self._precision.step(loss, self._optimizer)
            self._schedule.step()
            total += loss.detach()
        return float(total) / self._steps


class _Best:
    """The best epoch so far, with a copy of its weights; without validation the latest is the best."""

    def __init__(self) -> None:
        self.number = 0
        self.state: dict[str, torch.Tensor] = {}
        self._loss = math.inf

    def consider(self, epoch: Epoch, network: nn.Module) -> None:
        if epoch.validation_loss is not None:
            # Negated, so that a loss that is no number never counts as better.
            if not epoch.validation_loss < self._loss:
                return
            self._loss = epoch.validation_loss
        self.number = epoch.number
        self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


class _Precision:
    """Mixed precision on a GPU (bfloat16, or else float16 with its loss scaled); float32 on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._mixed = device.type == "cuda"
        half = not self._mixed or not torch.cuda.is_bf16_supported()
        self._dtype = torch.float16 if half else torch.bfloat16
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._mixed and half)

    def context(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._dtype) if self._mixed else nullcontext()

    def step(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(optimizer)
        self._scaler.update()


def _to_unit(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    return pixels.to(device, non_blocking=True).float().div(255)


def _endless_batches(count: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Batches of exactly `size` indices for ever, one shuffle after another: all come up equally often."""
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += torch.randperm(count, generator=generator).tolist()
        yield waiting[:size]
        waiting = waiting[size:]


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and the scales of normalisation layers, which are vectors, do not."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {
            "params": [parameter for parameter in parameters if parameter.ndim > 1],
            "weight_decay": weight_decay,
        },
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def _learning_rate(step: int, steps: int) -> float:
    """The share of the peak at this step: a linear rise, then half a cosine down to nothing."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _validate(
    network: nn.Module, validation: Split, plan: Plan, device: torch.device
) -> tuple[float | None, float | None]:
    """Loss and accuracy on the validation split; None and None where it is empty."""
    if not len(validation):
        return None, None
    logits = predict_logits(network, validation, plan, device)
    loss = functional.cross_entropy(logits, validation.labels)
    return float(loss), float((logits.argmax(dim=1) == validation.labels).float().mean())


def _tell(epoch: Epoch, epochs: int) -> None:
    """One line in the form that the training request's metric patterns look for."""
    parts = [f"epoch {epoch.number}/{epochs}: train:loss={epoch.train_loss:.4f};"]
    if epoch.validation_loss is not None:
        parts.append(f"validation:loss={epoch.validation_loss:.4f};")
        parts.append(f"validation:accuracy={epoch.validation_accuracy:.4f};")
    print(*parts, f"{epoch.seconds:.1f} s", flush=True)
