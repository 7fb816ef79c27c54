"""Temperature scaling: one number that makes a network's confidence mean what it says (Guo et al., 2017)."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional

_COLDEST, _HOTTEST = 0.05, 20.0
_STEPS = 30
_GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature that makes `labels` (N,) most likely under softmax(logits / temperature).

    A small validation set that the network gets wholly right would ask for endless certainty. So, as Platt
    did, its answers count as right only N + 1 times in N + 2, the rest spread over the other labels.
    `logits` have shape (N, classes), classes > 1; 1.0 without images.
    """
    count, classes = logits.shape
    if count == 0:
        return 1.0
    targets = torch.full((count, classes), 1 / (count + 2) / (classes - 1), dtype=torch.float64)
    targets[torch.arange(count), labels] = (count + 1) / (count + 2)
    exact = logits.double()

    def loss(temperature: float) -> float:
        log_likelihood = torch.log_softmax(exact / temperature, dim=1)
        return float(-(targets * log_likelihood).sum(dim=1).mean())

    return _best(loss)


def fit_binary_temperature(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """The same for yes-or-no answers under sigmoid: `truth` holds 0 and 1, in the shape of `logits`."""
    if not logits.numel():
        return 1.0
    yes = float(truth.sum())
    no = truth.numel() - yes
    # Platt's own targets: a yes counts as one only so far as there are many of them, and a no likewise.
    targets = torch.where(truth > 0, (yes + 1) / (yes + 2), 1 / (no + 2)).double()
    exact = logits.double()

    def loss(temperature: float) -> float:
        return float(functional.binary_cross_entropy_with_logits(exact / temperature, targets))

    return _best(loss)


def _best(loss: Callable[[float], float]) -> float:
    """The temperature of the lowest loss, by golden-section search."""
    # Convex in 1 / temperature, so with one minimum in the logarithm too.
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(math.exp(left)) <= loss(math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
