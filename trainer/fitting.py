"""Fits a network to a training split, and stops when validation stops getting better."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from checkpoints import Checkpoints, State
from pixels import normalise
from plans import Plan
from splits import Split
from task import Task, Validation

_WARM_UP = 0.1  # of all steps
_EVALUATION_BATCH = 128
_EVALUATION_PIXELS = _EVALUATION_BATCH * 224 * 224


@dataclass(frozen=True)
class Epoch:
    """One pass: losses and figures are the task's; of validation, None where that split is empty."""

    number: int
    train_loss: float
    validation: Validation
    seconds: float

    def to_json(self) -> dict[str, Any]:
        figures = {f"validation_{name}": figure for name, figure in self.validation.figures.items()}
        return {
            "number": self.number,
            "train_loss": self.train_loss,
            "validation_loss": self.validation.loss,
            **figures,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Fit:
    """What came of fitting: the best epoch's number, all epochs, and after how many of them a training went
    on that was killed."""

    best_epoch: int
    history: tuple[Epoch, ...]
    resumed_after: int | None = None

    def history_as_json(self) -> list[dict[str, Any]]:
        return [epoch.to_json() for epoch in self.history]


def fit(
    task: Task,
    network: nn.Module,
    train: Split,
    validation: Split,
    plan: Plan,
    device: torch.device,
    checkpoints: Checkpoints,
) -> Fit:
    """Fit `network` in place; it is left on `device`, in evaluation mode, with the weights of its best epoch.

    Best is the lowest validation loss, which is finer than a score where validation images are few. Without
    any, all epochs run and the last one counts. One line an epoch goes to standard output. A training that
    was killed goes on after the last epoch that it finished, and ends as if nothing had happened.
    """
    network.to(device)
    trainer = _Trainer(task, network, train, plan, device)
    progress = _Progress()
    saved = checkpoints.load()
    if saved is not None:
        trainer.restore(saved["trainer"])
        progress = _Progress.restored(saved["progress"])
        print(f"going on after epoch {len(progress.history)} from a checkpoint", flush=True)
    resumed_after = len(progress.history) or None
    best = progress.best
    while len(progress.history) < plan.epochs and not progress.is_stuck(plan):
        started, number = time.monotonic(), len(progress.history) + 1
        train_loss = trainer.run_epoch()
        measured = _validate(task, network, validation, plan, device)
        epoch = Epoch(number, train_loss, measured, time.monotonic() - started)
        progress.history.append(epoch)
        _tell(epoch, plan.epochs)
        best.consider(epoch, network)
        checkpoints.save({"trainer": trainer.state(), "progress": progress.state()})
    if progress.is_stuck(plan):
        print(f"validation was no better for {plan.patience} epochs: stopping", flush=True)
    network.load_state_dict(best.state)
    network.eval()
    return Fit(best.number, tuple(progress.history), resumed_after)


def predict(
    network: nn.Module, split: Split, plan: Plan, device: torch.device
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The network's outputs for a split's images in order, and their targets, batch by batch on the CPU."""
    network.eval()
    every = range(len(split))
    size = max(1, min(_EVALUATION_BATCH, _EVALUATION_PIXELS // split.side**2))
    chunks = [list(every[start : start + size]) for start in every[::size]]
    for pixels, targets in split.batches(chunks):
        with torch.inference_mode():
            outputs = network(normalise(_to_unit(pixels, device), plan.mean, plan.std)).float().cpu()
        yield outputs, targets


class _Trainer:
    """Optimizer, schedule and augmentation of one training, and the passes over its images."""

    def __init__(
        self, task: Task, network: nn.Module, train: Split, plan: Plan, device: torch.device
    ) -> None:
        self._task, self._network, self._train = task, network, train
        self._plan, self._device = plan, device
        generator = torch.Generator().manual_seed(plan.seed)
        self._augment = task.augmentation(plan, generator)
        self._steps = max(task.schedule.fewest_steps, math.ceil(len(train) / plan.batch_size))
        self._generator = generator
        self._indices = _EndlessBatches(len(train), plan.batch_size, generator)
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
        for batch, truth in self._train.batches([next(self._indices) for _ in range(self._steps)]):
            pixels, targets = self._augment(_to_unit(batch, self._device), truth.to(self._device))
            images = normalise(pixels, self._plan.mean, self._plan.std)
            with self._precision.context():
                loss = self._task.loss(self._network(images), targets, self._plan)
            self._precision.step(loss, self._optimizer)
            self._schedule.step()
            total += loss.detach()
        return float(total) / self._steps

    def state(self) -> State:
        """All that the next epoch depends on."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._precision.state(),
            "waiting": self._indices.waiting,
            "generator": self._generator.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self._device.type == "cuda" else [],
        }

    def restore(self, state: State) -> None:
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._precision.restore(state["scaler"])
        self._indices.waiting = state["waiting"]
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state_all(state["random_cuda"])


class _Progress:
    """The epochs so far, and the best of them."""

    def __init__(self) -> None:
        self.history: list[Epoch] = []
        self.best = _Best()

    def is_stuck(self, plan: Plan) -> bool:
        """Whether validation has been no better for long enough."""
        return len(self.history) - self.best.number >= plan.patience

    def state(self) -> State:
        return {"history": [asdict(epoch) for epoch in self.history], "best": vars(self.best)}

    @classmethod
    def restored(cls, state: State) -> "_Progress":
        """What `state` gave."""
        progress = cls()
        progress.history = [
            Epoch(**{**epoch, "validation": Validation(**epoch["validation"])}) for epoch in state["history"]
        ]
        vars(progress.best).update(state["best"])
        return progress


class _Best:
    """The best epoch so far, with a copy of its weights; without validation the latest is the best."""

    def __init__(self) -> None:
        self.number = 0
        self.state: dict[str, torch.Tensor] = {}
        self._loss = math.inf

    def consider(self, epoch: Epoch, network: nn.Module) -> None:
        loss = epoch.validation.loss
        if loss is not None:
            # Negated, so that a loss that is no number never counts as better.
            if not loss < self._loss:
                return
            self._loss = loss
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

    def state(self) -> State:
        return self._scaler.state_dict()

    def restore(self, state: State) -> None:
        self._scaler.load_state_dict(state)


def _to_unit(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    return pixels.to(device, non_blocking=True).float().div(255)


class _EndlessBatches:
    """Batches of exactly `size` indices for ever, one shuffle after another: all come up equally often.
    `waiting` are indices that were shuffled and not given out yet."""

    def __init__(self, count: int, size: int, generator: torch.Generator) -> None:
        self._count, self._size, self._generator = count, size, generator
        self.waiting: list[int] = []

    def __next__(self) -> list[int]:
        while len(self.waiting) < self._size:
            self.waiting += torch.randperm(self._count, generator=self._generator).tolist()
        batch, self.waiting = self.waiting[: self._size], self.waiting[self._size :]
        return batch


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
    task: Task, network: nn.Module, validation: Split, plan: Plan, device: torch.device
) -> Validation:
    if not len(validation):
        return Validation(None, dict.fromkeys(task.figures))
    return task.validate(predict(network, validation, plan, device))


def _tell(epoch: Epoch, epochs: int) -> None:
    """One line in the form that the training request's metric patterns look for."""
    figures = {"loss": epoch.validation.loss, **epoch.validation.figures}
    parts = [f"epoch {epoch.number}/{epochs}: train:loss={epoch.train_loss:.4f};"]
    parts += [f"validation:{name}={figure:.4f};" for name, figure in figures.items() if figure is not None]
    print(*parts, f"{epoch.seconds:.1f} s", flush=True)
