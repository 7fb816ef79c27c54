"""How CloudWatch decides the state of a metric alarm.

CloudWatch user guide, "Evaluating an alarm" and "Configuring how CloudWatch alarms treat missing data".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Point = TypeVar("Point")
State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


@dataclass(frozen=True)
class Rule:
    """What a metric alarm says of its datapoints.

    `comparison` is a ComparisonOperator with a static threshold, `missing` a TreatMissingData. `to_alarm` of
    the datapoints, at most as many as there are, have to breach.
    """

    threshold: float
    comparison: str
    to_alarm: int
    missing: str = "missing"

    @property
    def is_static(self) -> bool:
        """Whether the threshold is a number, and not a band of expected values."""
        return self.comparison in _COMPARISONS

    def breaches(self, value: float) -> bool:
        compare, _ = _COMPARISONS[self.comparison]
        return compare(value, self.threshold)


def split_periods(
    points: Sequence[Point], at: Callable[[Point], float], *, now: float, period: int, periods: int
) -> list[list[Point]]:
    """The points of each of the last periods (of `period` seconds), the oldest period first; `at` in epoch
    seconds. The last period ends now: on AWS it may end a little earlier."""
    found: list[list[Point]] = [[] for _ in range(periods)]
    for point in points:
        age = int((now - at(point)) // period)
        if 0 <= age < periods:
            found[periods - 1 - age].append(point)
    return found


def decide(values: Sequence[float | None], rule: Rule) -> State | None:
    """The state after datapoints, oldest first, None where one is missing; None to keep the state."""
    fill = {"breaching": True, "notBreaching": False}.get(rule.missing)
    breaches = [fill if value is None else rule.breaches(value) for value in values]
    known = [breach for breach in breaches if breach is not None]
    if not known:
        return None if rule.missing == "ignore" else "INSUFFICIENT_DATA"
    if sum(known) >= rule.to_alarm:
        return "ALARM"
    if len(known) < len(breaches) and _breaches_since(breaches, rule.to_alarm):
        return None if rule.missing == "ignore" else "ALARM"
    return "OK"


def _breaches_since(breaches: Sequence[bool | None], to_alarm: int) -> bool:
    """Whether the oldest breach lies far enough back, and nothing but breaches came after it.

    Then the alarm goes off though too few datapoints are there.
    """
    if True not in breaches:
        return False
    first = breaches.index(True)
    return len(breaches) - first >= to_alarm and False not in breaches[first:]


def reason(values: Sequence[float | None], rule: Rule, state: State) -> str:
    """A StateReason."""
    known = [value for value in values if value is not None]
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: none of the last {len(values)} datapoints is there"
    breaching = [value for value in known if rule.breaches(value)]
    _, words = _COMPARISONS[rule.comparison]
    shown = ", ".join(f"{value:g}" for value in known[-5:])
    return (
        f"Threshold Crossed: {len(breaching)} of the last {len(values)} datapoints [{shown}] "
        f"{'was' if len(breaching) == 1 else 'were'} {words} the threshold ({rule.threshold:g}); "
        f"it takes {rule.to_alarm} for ALARM"
    )
