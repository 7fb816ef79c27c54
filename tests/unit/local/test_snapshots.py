"""Snapshots are whole: the newest complete one is what a restart finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.snapshots import Snapshots


class State:
    """Writes its files; a service that is None was not loaded this time."""

    def __init__(self, **services: str | None) -> None:
        self.services = services

    def write(self, directory: Path) -> None:
        for name, content in self.services.items():
            if content is None:
                continue
            if content == "broken":
                raise ValueError("cannot be saved")
            draft = directory / f"{name}.new"
            draft.write_text(content)
            draft.replace(directory / f"{name}.json")


def content(snapshots: Snapshots) -> dict[str, str]:
    assert snapshots.current is not None
    return {path.stem: path.read_text() for path in snapshots.current.iterdir()}


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert Snapshots(tmp_path, State().write).current is None


def test_the_newest_one_replaces_the_one_before(tmp_path: Path) -> None:
    state = State(s3="one", sqs="one")
    snapshots = Snapshots(tmp_path, state.write)
    snapshots.take()
    state.services["s3"] = "two"
    snapshots.take()
    assert content(snapshots) == {"s3": "two", "sqs": "one"}
    assert len(list(tmp_path.glob("snapshot-*"))) == 1


def test_a_service_that_was_not_loaded_keeps_what_it_had(tmp_path: Path) -> None:
    Snapshots(tmp_path, State(s3="one", sqs="one").write).take()
    later = Snapshots(tmp_path, State(s3="two", sqs=None).write)
    later.take()
    assert content(later) == {"s3": "two", "sqs": "one"}


@pytest.mark.filterwarnings("ignore:This process")
def test_one_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    state = State(a="one", b="one")
    snapshots = Snapshots(tmp_path, state.write)
    snapshots.take()
    state.services.update(a="two", b="broken")
    snapshots.take()
    assert content(snapshots) == {"a": "one", "b": "one"}


def test_taking_one_in_the_background_waits_for_its_turn(tmp_path: Path) -> None:
    state = State(s3="one")
    snapshots = Snapshots(tmp_path, state.write)
    assert snapshots.is_due()
    snapshots.take_in_background()
    assert not snapshots.is_due()
    snapshots.take()
    assert content(snapshots) == {"s3": "one"}
