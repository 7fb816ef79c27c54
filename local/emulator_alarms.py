"""CloudWatch's alarms on MiniStack's metrics: each looks at its own series, period by period.

MiniStack's own look at all series of a metric's name as one, know nothing of missing datapoints, and are
looked at only when a metric or an alarm is put. Like emulator.py this touches MiniStack's internals.
"""

from __future__ import annotations

import itertools
import logging
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local import alarms

logger = logging.getLogger("loupe.local")

_MINUTE = 60


@dataclass(frozen=True)
class _Measurement:
    """Values and units of some metrics of one series at one time (epoch seconds)."""

    at: float
    namespace: str
    dimensions: dict[str, str]
    metrics: dict[str, tuple[float, str]]


class Alarms:
    """Takes the place of the evaluation in MiniStack's module `services.cloudwatch`."""

    def __init__(self, cloudwatch: Any) -> None:
        self._cloudwatch = cloudwatch
        self._measured: queue.SimpleQueue[_Measurement] = queue.SimpleQueue()
        self._set_by_hand: dict[str, float] = {}
        evict, set_state = cloudwatch._evict_old_metrics, cloudwatch._set_alarm_state

        def begin_request() -> None:
            # MiniStack evicts first of all in every request, so that every answer is of now.
            evict()
            self.evaluate_all()

        def set_alarm_state(params: Any, given: Mapping[str, Any], *protocol: Any) -> Any:
            name = given.get("AlarmName") or cloudwatch._p(params, "AlarmName")
            self._set_by_hand[name] = time.time()
            return set_state(params, given, *protocol)

        put_alarm = cloudwatch._put_metric_alarm

        def put_metric_alarm(params: Mapping[str, Any], given: Mapping[str, Any], *protocol: bool) -> Any:
            if given.get("Metrics") or "Metrics.member.1.Id" in params:
                message = "Metrics (metric math) is not available in the local cloud"
                return cloudwatch._error("InvalidParameterValue", message, 400, *reversed(protocol))
            return put_alarm(params, given, *protocol)

        cloudwatch._put_metric_alarm = put_metric_alarm
        cloudwatch._evict_old_metrics = begin_request
        cloudwatch._set_alarm_state = set_alarm_state
        cloudwatch._evaluate_all_alarms = self.evaluate_all
        cloudwatch._evaluate_alarm = self._evaluate

    def measure(
        self, namespace: str, dimensions: Mapping[str, str], metrics: Mapping[str, tuple[float, str]]
    ) -> None:
        """Add a value (and its unit) to each of some metrics; from any thread."""
        self._measured.put(_Measurement(time.time(), namespace, dict(dimensions), dict(metrics)))

    def evaluate_all(self) -> None:
        """In the scope of an account, and on the thread that answers CloudWatch's requests."""
        while not self._measured.empty():
            self._keep(self._measured.get())
        for alarm in list(self._cloudwatch._alarms.values()):
            try:
                self._evaluate(alarm)
            except Exception:
                # One alarm that MiniStack let pass must not keep the others from being looked at.
                logger.exception("The alarm %s can't be evaluated", alarm.get("AlarmName"))

    def _keep(self, measured: _Measurement) -> None:
        """Equal values of one second are one point with a count."""
        key = self._cloudwatch._dims_key(measured.dimensions)
        at = float(int(measured.at))
        for name, (value, unit) in measured.metrics.items():
            points = self._cloudwatch._metric_bucket((measured.namespace, name, key))
            recent = itertools.takewhile(lambda point: point["Timestamp"] >= at, reversed(points))
            same = next(
                (point for point in recent if (point["Timestamp"], point["Value"]) == (at, value)), None
            )
            if same is None:
                kept = {"Timestamp": at, "Value": value, "Count": 1.0, "Unit": unit}
                points.append({**kept, "Dimensions": measured.dimensions})
            else:
                same["Count"] = same.get("Count", 1.0) + 1.0

    def _evaluate(self, alarm: dict[str, Any]) -> None:
        now, name, period = time.time(), alarm["AlarmName"], int(alarm.get("Period") or _MINUTE)
        if not alarm.get("MetricName") or now - self._set_by_hand.get(name, 0.0) < min(period, _MINUTE):
            # A state that was set by hand stays until the next evaluation, on AWS up to a minute later.
            return
        periods = int(alarm.get("EvaluationPeriods") or 1)
        rule = alarms.Rule(
            threshold=float(alarm.get("Threshold") or 0),
            comparison=alarm.get("ComparisonOperator") or "",
            to_alarm=int(alarm.get("DatapointsToAlarm") or periods),
            missing=alarm.get("TreatMissingData") or "missing",
        )
        if not rule.is_static:
            return
        split = alarms.split_periods(
            self._series(alarm),
            lambda point: float(point["Timestamp"]),
            now=now,
            period=period,
            periods=periods,
        )
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
        values = [self._statistic(statistic, points) for points in split]
        state, before = alarms.decide(values, rule), alarm["StateValue"]
        if state is None or state == before:
            return
        said = alarms.reason(values, rule, state)
        alarm.update(StateValue=state, StateReason=said, StateUpdatedTimestamp=int(now))
        self._cloudwatch._record_history(name, before, state, said)
        self._cloudwatch._dispatch_alarm_actions(alarm, before, state, said)
        self._cloudwatch._evaluate_parent_alarms(alarm)

    def _series(self, alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The points of exactly the alarm's dimensions, and of its unit if it names one."""
        dimensions = self._cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
        key = (alarm["Namespace"], alarm["MetricName"], self._cloudwatch._dims_key(dimensions))
        unit = alarm.get("Unit")
        points = self._cloudwatch._metrics.get(key) or []
        return [point for point in points if not unit or unit == point.get("Unit")]

    def _statistic(self, name: str, points: list[dict[str, Any]]) -> float | None:
        if not points:
            return None
        value: float | None = self._cloudwatch._stat_value(self._cloudwatch._calc_stats(points), name, points)
        return value
