"""Fleets of serving processes, and which of them a request goes to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.sagemaker.errors import RuntimeValidationError
from local.sagemaker.serving import Answer

_DRAINED_WITHIN = 60.0
"""Seconds: the longest that a request may take."""
_TICK = 0.05


class Serves(Protocol):
    """A process that answers requests."""

    def invoke(self, body: bytes, headers: dict[str, str]) -> Answer:
        """Raises ContainerError."""

    def stop(self) -> None: ...


@dataclass
class ServedVariant:
    """A production variant of an endpoint configuration that serves."""

    settings: dict[str, Any]
    config: str
    container: Serves
    requests: int = 0
    """Those that it is answering now."""

    @property
    def name(self) -> str:
        name: str = self.settings["VariantName"]
        return name

    @property
    def weight(self) -> float:
        weight: float = self.settings.get("InitialVariantWeight", 1.0)
        return weight


@dataclass
class Traffic:
    """The old fleet, and while an endpoint is updated the new one with its shares (0 to 1) by variant."""

    blue: list[ServedVariant]
    green: list[ServedVariant] = field(default_factory=list)
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def variants(self) -> list[ServedVariant]:
        return [*self.blue, *self.green]

    def pick(self, target: str | None, draw: Callable[[], float]) -> ServedVariant:
        """The variant for a request; `draw` gives numbers from 0 to below 1.

        Raises RuntimeValidationError if there is no variant `target`.
        """
        has_moved = bool(self.green) and all(self.shares.get(v.name, 0.0) >= 1.0 for v in self.green)
        fleet = self.green if has_moved else self.blue
        chosen = _weighed(fleet, draw) if target is None else _named(fleet, target)
        if chosen is None:
            raise RuntimeValidationError(f"Variant {target} not found.")
        successor = None if has_moved else _named(self.green, chosen.name)
        if successor is not None and draw() < self.shares.get(chosen.name, 0.0):
            return successor
        return chosen


def _weighed(fleet: Sequence[ServedVariant], draw: Callable[[], float]) -> ServedVariant:
    left = draw() * sum(variant.weight for variant in fleet)
    for variant in fleet:
        left -= variant.weight
        if left < 0:
            return variant
    return fleet[-1]


def _named(fleet: Sequence[ServedVariant], name: str) -> ServedVariant | None:
    return next((variant for variant in fleet if variant.name == name), None)


def retire(variants: Sequence[ServedVariant]) -> None:
    """Stop variants that get no new requests, once they have answered those that they have."""
    deadline = time.monotonic() + _DRAINED_WITHIN
    while any(variant.requests for variant in variants) and time.monotonic() < deadline:
        time.sleep(_TICK)
    for variant in variants:
        variant.container.stop()


def retire_in_background(variants: Sequence[ServedVariant]) -> None:
    if variants:
        threading.Thread(target=retire, args=(list(variants),), daemon=True).start()
