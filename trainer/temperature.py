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
    exact, targets = logits.double(), _platts_targets(truth)

    def loss(temperature: float) -> float:
        return float(functional.binary_cross_entropy_with_logits(exact / temperature, targets))

    return _best(loss)


def fit_binary_scaling(logits: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Temperature and shift (Platt, 1999): sigmoid(logits / temperature + shift) makes `truth` most likely.

    For networks whose confidence is biased, as a focal loss makes it, and not just too bold or too shy.
    """
    if not logits.numel():
        return 1.0, 0.0
    exact, targets = logits.double(), _platts_targets(truth)
    # Of the temperature its logarithm, so that it stays positive: a better logit never means less confidence.
    scaling = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scaling], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = functional.binary_cross_entropy_with_logits(exact / scaling[0].exp() + scaling[1], targets)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    logarithm, shift = scaling.tolist()
    return min(_HOTTEST, max(_COLDEST, math.exp(logarithm))), shift


def _platts_targets(truth: torch.Tensor) -> torch.Tensor:
    """A yes counts as one only so far as there are many of them, and a no likewise."""
    yes = float(truth.sum())
    no = truth.numel() - yes
    return torch.where(truth > 0, (yes + 1) / (yes + 2), 1 / (no + 2)).double()


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
