"""`loupe workers` on a stack in memory."""

import json
from typing import Any

from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack


def worker(name: str, **figures: Any) -> dict[str, Any]:
    return {
        "worker": f"id-{name}",
        "name": name,
        "answers": 1200,
        "skips": 3,
        "agreement": 0.9125,
        "median_seconds": 2.5,
        "checks": 60,
        "accuracy": 0.95,
        "below_min_accuracy": False,
        **figures,
    }


def test_each_worker_is_told_of_in_a_line(loupe: Loupe, stack: FakeStack, project: str) -> None:
    new = {"agreement": None, "median_seconds": None, "checks": 0, "accuracy": None}
    below = {"accuracy": 0.6, "below_min_accuracy": True}
    stack.workers_told = {
        "min_accuracy": 0.8,
        "workers": [worker("ada"), worker("ben", **new), worker("cleo", **below)],
    }
    told = loupe("workers", project).stdout
    ada, ben, cleo = (
        next(line for line in told.splitlines() if name in line) for name in ("ada", "ben", "cleo")
    )
    assert all(figure in ada for figure in ("1,200", "91.2 %", "2.5", "60", "95.0 %"))
    assert ben.count(" - ") == 3
    assert "60.0 % (below" in cleo
    assert "asked again from others" in told


def test_it_says_when_a_large_open_job_is_not_counted_yet(
    loupe: Loupe, stack: FakeStack, project: str
) -> None:
    assert "Nobody has answered" in loupe("workers", project).stdout
    stack.workers_told = {"open_job": "parts-1", "open_job_counted": False, "workers": [worker("ada")]}
    assert "open job parts-1 count when it is concluded" in loupe("workers", project).stdout


def test_json_has_all_figures(loupe: Loupe, stack: FakeStack, project: str) -> None:
    stack.workers_told = {"workers": [worker("ada")]}
    told = json.loads(loupe("workers", project, "--json").stdout)
    assert (told["project"], told["min_accuracy"], told["workers"]) == (project, 0.0, [worker("ada")])


def test_the_project_must_be_there(loupe: Loupe) -> None:
    assert "There is no project" in loupe("workers", "nuts", exit_code=1).stderr
