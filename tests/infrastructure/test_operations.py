"""What operators see, and the runbook that tells them what to do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

Resources = dict[str, Any]


def of_type(resources: Resources, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each["Properties"] for name, each in resources.items() if each["Type"] == kind}


@pytest.fixture(scope="session")
def alarms(resources: Resources) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::CloudWatch::Alarm")


def test_the_runbook_says_of_each_alarm_what_it_means_and_what_to_do(
    alarms: dict[str, dict[str, Any]], root: Path
) -> None:
    sections = re.split(r"^## ", (root / "docs/runbook.md").read_text(), flags=re.MULTILINE)[1:]
    by_name = {section.partition("\n")[0]: section for section in sections}
    not_of_the_template = {
        "Alarms of an endpoint on instances",
        "Budget",
        "A labeling job that stays open",
    }
    assert set(by_name) == {*alarms, *not_of_the_template}
    for name, section in by_name.items():
        assert "**Means:**" in section, name
        assert "**Do:**" in section, name


def test_each_alarm_reaches_people(alarms: dict[str, dict[str, Any]]) -> None:
    assert alarms
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [{"Ref": "NotificationTopic"}], name
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_the_dashboard_shows_each_alarm_and_metrics_that_there_are(
    alarms: dict[str, dict[str, Any]], resources: Resources
) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(body)["widgets"]
    shown = [arn for widget in widgets if widget["type"] == "alarm" for arn in widget["properties"]["alarms"]]
    assert sorted(shown) == sorted(f"${{{name}.Arn}}" for name in alarms)
    made = {
        transformation["MetricName"]
        for each in of_type(resources, "AWS::Logs::MetricFilter").values()
        for transformation in each["MetricTransformations"]
    }
    own = set(re.findall(r'"Loupe/\$\{AWS::StackName\}", "(\w+)"', body))
    assert own == made
    places = [(each["x"], each["y"]) for each in widgets]
    assert len(set(places)) == len(places)


def test_metrics_of_logs_are_of_lines_that_functions_write(resources: Resources, root: Path) -> None:
    code = "\n".join(
        path.read_text()
        for part in ("functions", "layers/core/loupe")
        for path in (root / part).rglob("*.py")
    )
    for name, each in of_type(resources, "AWS::Logs::MetricFilter").items():
        [message] = re.findall(r'\$\.message = "([^"]+)"', each["FilterPattern"])
        assert f'"{message}"' in code, name
        for transformation in each["MetricTransformations"]:
            value = transformation["MetricValue"]
            assert value == "1" or f"{value.removeprefix('$.')}=" in code, name


def test_own_metrics_with_an_alarm_are_made(alarms: dict[str, dict[str, Any]], resources: Resources) -> None:
    made = {
        transformation["MetricName"]
        for each in of_type(resources, "AWS::Logs::MetricFilter").values()
        for transformation in each["MetricTransformations"]
    }
    own = {alarm["MetricName"] for alarm in alarms.values() if not isinstance(alarm["Namespace"], str)}
    assert own
    assert own <= made


def test_a_budget_needs_somebody_to_tell(template: dict[str, Any]) -> None:
    budget = template["Resources"]["Budget"]
    assert budget["Condition"] == "HasBudget"
    assert template["Conditions"]["HasBudget"]["Fn::And"][0] == {"Condition": "HasNotificationEmail"}
