"""The state of a metric alarm, after the tables of the CloudWatch user guide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local.alarms import Rule, decide, reason, split_periods

RULE = Rule(threshold=1.0, comparison="GreaterThanOrEqualToThreshold", to_alarm=3)


def values(drawn: str) -> list[float | None]:
    """X breaches, 0 does not, - is missing; the newest last."""
    return [{"X": 5.0, "0": 0.0, "-": None}[letter] for letter in drawn]


@pytest.mark.parametrize(
    ("drawn", "to_alarm", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("XXX", 3, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0XX", 3, "OK", "OK", "OK", "OK"),
        ("0XX", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("---", 3, "INSUFFICIENT_DATA", None, "ALARM", "OK"),
        ("0--", 3, "OK", "OK", "OK", "OK"),
        ("X--", 3, "ALARM", None, "ALARM", "OK"),
        ("--X", 3, "OK", "OK", "ALARM", "OK"),
        ("X-0", 3, "OK", "OK", "OK", "OK"),
        ("-XX", 2, "ALARM", "ALARM", "ALARM", "ALARM"),
        ("-X-", 2, "ALARM", None, "ALARM", "OK"),
    ],
)
def test_missing_datapoints_are_treated_as_told(
    drawn: str, to_alarm: int, missing: str, ignore: str | None, breaching: str, not_breaching: str
) -> None:
    expected = {
        "missing": missing,
        "ignore": ignore,
        "breaching": breaching,
        "notBreaching": not_breaching,
    }
    found = {
        treatment: decide(values(drawn), replace(RULE, to_alarm=to_alarm, missing=treatment))
        for treatment in expected
    }
    assert found == expected


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanOrEqualToThreshold", [1.0, 2.0]),
        ("GreaterThanThreshold", [2.0]),
        ("LessThanThreshold", [0.0]),
        ("LessThanOrEqualToThreshold", [0.0, 1.0]),
    ],
)
def test_a_threshold_is_compared_as_named(comparison: str, breaching: list[float]) -> None:
    rule = Rule(threshold=1.0, comparison=comparison, to_alarm=1)
    assert [value for value in (0.0, 1.0, 2.0) if rule.breaches(value)] == breaching


def test_a_band_of_expected_values_is_no_static_threshold() -> None:
    assert not Rule(threshold=0, comparison="GreaterThanUpperThreshold", to_alarm=1).is_static


def test_points_fall_into_the_periods_that_end_now() -> None:
    points = [0.0, 40.0, 41.0, 69.0, 99.0, 100.0]
    split = split_periods(points, float, now=100.0, period=30, periods=3)
    assert split == [[40.0], [41.0, 69.0], [99.0, 100.0]]


def test_a_reason_says_what_was_seen() -> None:
    assert "2 of the last 3 datapoints [0, 5, 5] were greater than or equal to the threshold (1)" in reason(
        values("0XX"), RULE, "OK"
    )
    assert reason(values("---"), RULE, "INSUFFICIENT_DATA").startswith("Insufficient Data")
