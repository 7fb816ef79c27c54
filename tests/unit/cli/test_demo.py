import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from cli.demo import Demo, DemoReport, Probe, Stages, draw_one, free_project_name
from cli.demo_pictures import Material, Sizes, scenes_of_digits, single_digits
from cli.digits import Digit, load_digits, write_out
from cli.errors import CommandFault
from cli.session import Session
from cli.stack import Json
from loupe.domain.label_values import Boxes, OneLabel
from tests.unit.cli.fake_stack import WORKER, FakeStack

SIZES = Sizes(first=30, second=10, test=20)


@pytest.fixture(scope="module")
def digits() -> list[Digit]:
    return load_digits()


@pytest.fixture(scope="module")
def scenes(digits: list[Digit]) -> Material:
    return scenes_of_digits(digits, Sizes(first=8, second=0, test=4))


def run(session: Session, folder: Path, digits: Sequence[Digit]) -> DemoReport:
    return run_on(session, folder, single_digits(digits, SIZES))


def run_on(session: Session, folder: Path, material: Material) -> DemoReport:
    with Stages(Console(stderr=True)) as stages:
        return Demo(session, WORKER, folder, material).run(stages)


def test_turns_the_loop_twice(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    asked = digits[40:60]
    stack.answers = {digit.png(): digit.label for digit in asked[:-1]}
    stack.answers[asked[-1].png()] = "no digit"
    report = run(session, tmp_path, digits)
    assert report.first["champion"]
    assert report.first["champion"]["version"] == "0001"
    assert report.second
    assert report.second["last_training"]
    assert report.second["last_training"]["version"] == "0002"
    assert report.second["images"]["labeled"] == 40
    assert report.answers.in_words() == "19 of 20 right (95.0%)"
    assert report.probe
    assert report.probe.failures == []
    assert json.loads(json.dumps(report.as_json()))["accuracy"] == 0.95


def test_gives_every_image_its_own_label(
    session: Session, stack: FakeStack, digits: list[Digit], tmp_path: Path
) -> None:
    run(session, tmp_path, digits)
    given = {task.key: task.answer for job in stack.projects_by_name["digits"].jobs for task in job}
    assert given == {f"digits/{digit.name}": OneLabel(digit.label) for digit in digits[:40]}


def test_a_second_demo_takes_a_new_project(stack: FakeStack) -> None:
    assert free_project_name(stack, "digits") == "digits"
    for name in ("digits", "digits-2", "other"):
        stack.write_configuration(name, "")
    assert free_project_name(stack, "digits") == "digits-3"


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


# Scenes


def boxes_of(value: object) -> list[Json]:
    """What a model answers that finds everything."""
    assert isinstance(value, Boxes)
    return [
        {
            "label": box.label,
            "confidence": 0.9,
            "box": {"left": box.left, "top": box.top, "width": box.width, "height": box.height},
        }
        for box in value.boxes
    ]


def test_finds_digits_in_scenes_and_draws_an_answer(
    session: Session, stack: FakeStack, scenes: Material, tmp_path: Path
) -> None:
    stack.answers = {picture.png: boxes_of(picture.value) for picture in scenes.test}
    stack.answers[scenes.test[0].png] = []
    report = run_on(session, tmp_path, scenes)
    assert report.project == "scenes"
    assert (report.second, report.probe) == (None, None)
    assert 0.3 < report.answers.score < 0.95, "one picture of four is answered wrongly"
    assert json.loads(json.dumps(report.as_json()))["mAP@0.5"] == report.answers.score
    told = io.StringIO()
    Console(file=told, width=120, markup=False).print(report.table())
    assert "mAP@0.5" in told.getvalue()
    given = {task.key: task.answer for job in stack.projects_by_name["scenes"].jobs for task in job}
    assert given == {f"scenes/{picture.name}": picture.value for picture in scenes.first}
    assert Image.open(draw_one(report, scenes, tmp_path / "one.png")).width == 640


def test_no_digit_of_a_scene_to_be_asked_about_was_in_a_labeled_one(digits: list[Digit]) -> None:
    """Scenes take the digits in turn, so that a supply of few is used up."""
    few = digits[:25]
    labels = [digit.label for digit in few]
    material = scenes_of_digits(few, Sizes(first=30, second=0, test=10))
    shown = {box["label"] for picture in material.test for box in boxes_of(picture.value)}
    assert shown <= set(labels[18:])
    assert {box["label"] for picture in material.first for box in boxes_of(picture.value)} <= set(labels[:18])
