import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli.demo import Demo, DemoReport, Probe, Sizes, Stages, free_project_name
from cli.digits import Digit, load_digits, write_out
from cli.errors import CommandFault
from cli.session import Session
from loupe.domain.label_values import OneLabel
from tests.unit.cli.fake_stack import WORKER, FakeStack

SIZES = Sizes(first=30, second=10, test=20)


@pytest.fixture(scope="module")
def digits() -> list[Digit]:
    return load_digits()


def run(session: Session, folder: Path, digits: Sequence[Digit]) -> DemoReport:
    with Stages(Console(stderr=True)) as stages:
        return Demo(session, WORKER, folder, digits, SIZES).run(stages)


def test_turns_the_loop_twice(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    asked = digits[40:60]
    stack.answers = {digit.png(): digit.label for digit in asked[:-1]}
    stack.answers[asked[-1].png()] = "no digit"
    report = run(session, tmp_path, digits)
    assert report.first["champion"]
    assert report.first["champion"]["version"] == "0001"
    assert report.second["last_training"]
    assert report.second["last_training"]["version"] == "0002"
    assert report.second["images"]["labeled"] == 40
    assert (report.answers.right, len(report.answers.seconds)) == (19, 20)
    assert report.probe.failures == []
    assert json.loads(json.dumps(report.as_json()))["accuracy"] == 0.95


def test_gives_every_image_its_own_label(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    run(session, tmp_path, digits)
    given = {task.key: task.answer for job in stack.projects_by_name["digits"].jobs for task in job}
    assert given == {f"digits/{digit.name}": OneLabel(digit.label) for digit in digits[:40]}


def test_a_second_demo_takes_a_new_project(stack: FakeStack) -> None:
    assert free_project_name(stack) == "digits"
    for name in ("digits", "digits-2", "other"):
        stack.write_configuration(name, "")
    assert free_project_name(stack) == "digits-3"


def test_the_table_tells_all_figures(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    report = run(session, tmp_path, digits)
    told = io.StringIO()
    Console(file=told, width=120, markup=False).print(report.table())
    for figure in ("Images registered", "97.5%", "loupe-digits", "0 failures", "median"):
        assert figure in told.getvalue()


def test_the_probe_counts_failures(stack: FakeStack) -> None:
    stack.write_configuration("digits", "task: image-classification\nlabels: [a, b]\n")
    with Probe(stack, "digits", b"", pause=0.001) as probe:
        while probe.calls < 3:
            pass
    assert len(probe.failures) == probe.calls


def test_a_training_that_fails_ends_the_demo(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    class Failing(FakeStack):
        def write_configuration(self, project: str, text: str) -> None:
            super().write_configuration(project, text)
            self.projects_by_name[project].failure = "out of memory"

    failing = Failing()
    other = replace(session, connect=lambda: replace(session.connect(), stack=failing))
    with pytest.raises(CommandFault, match="out of memory"):
        run(other, tmp_path, digits)


def test_digits_are_all_there_as_real_pngs_and_no_name_tells_the_label(
    digits: list[Digit], tmp_path: Path
) -> None:
    assert len(digits) == 1797
    assert len({digit.name for digit in digits}) == 1797
    assert {digit.label for digit in digits[:100]} == set("0123456789")
    write_out(digits[:2], tmp_path)
    header = (tmp_path / digits[0].name).read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert header[16:24] == (64).to_bytes(4) * 2
