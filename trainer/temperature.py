"""Temperature scaling: one number that makes a network's confidence mean what it says (Guo et al., 2017)."""

import math

import torch

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

    def loss(log_temperature: float) -> float:
        log_likelihood = torch.log_softmax(exact / math.exp(log_temperature), dim=1)
        return float(-(targets * log_likelihood).sum(dim=1).mean())

    # Convex in 1 / temperature, so with one minimum in the logarithm too: golden-section search finds it.
    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)
