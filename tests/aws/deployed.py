"""What tests of a stack on AWS have in common: the command, and projects with labeled pictures."""

import csv
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.digits import LABELS, load_digits
from cli.scenes import compose

TASKS = ("image-classification", "multi-label-classification", "bounding-box")


def loupe(*arguments: str) -> str:
    """What the command prints; its errors go to the terminal."""
    # A local cloud that happens to run is not meant.
    target = ("--aws", "--stack", os.environ["LOUPE_AWS_STACK"])
    command = [str(Path(sys.executable).with_name("loupe")), *target, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def status_when(project: str, condition: Callable[[dict[str, Any]], bool], minutes: float) -> dict[str, Any]:
    """The project's status once `condition` holds for it; fails with what was seen last."""
    deadline = time.monotonic() + minutes * 60
    while True:
        status: dict[str, Any] = json.loads(loupe("status", project, "--json"))
        if condition(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(10)


def draw(task: str, folder: Path, first: int, count: int) -> list[dict[str, object]]:
    """Makes the folder with pictures of digits, each a scan or a scene of several; those of another `first`
    differ. Returns what is in them: rows of the CSV that `loupe annotate` reads."""
    folder.mkdir()
    digits = load_digits()[first : first + count]
    if task == "image-classification":
        for digit in digits:
            (folder / digit.name).write_bytes(digit.png())
        return [{"file": digit.name, "label": digit.label} for digit in digits]
    rows: list[dict[str, object]] = []
    for scene in compose(digits, count, seed=first, name=f"scene-{first}"):
        (folder / scene.name).write_bytes(scene.png)
        if task == "bounding-box":
            rows += [{"file": scene.name, **vars(placed)} for placed in scene.digits]
        else:
            labels = sorted({placed.label for placed in scene.digits})
            rows += [{"file": scene.name, "label": label} for label in labels]
    return rows


def write_files(settings: Mapping[str, Any], count: int, folder: Path) -> None:
    """Writes `project.yaml`, `count` files into `pictures`, and `answers.csv` with their labels.
    `settings` are those of project.yaml, without labels and labeling."""
    configuration = {**settings, "labels": LABELS, "labeling": {"batch_size": count}}
    (folder / "project.yaml").write_text(json.dumps(configuration))
    _draw_with_answers(settings["task"], folder, 0, count)


def _draw_with_answers(task: str, folder: Path, first: int, count: int) -> None:
    rows = draw(task, folder / "pictures", first, count)
    with (folder / "answers.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def label_pictures(project: str, settings: Mapping[str, Any], count: int, folder: Path) -> None:
    """Makes the project and labels `count` pictures in one job of its portal, after which a training begins.
    The parameters are those of `write_files`."""
    write_files(settings, count, folder)
    loupe("project", "create", project, "--file", str(folder / "project.yaml"))
    loupe("upload", project, str(folder / "pictures"))
    loupe("wait", project, "labeling", "--timeout", "600")
    _annotate(project, folder)


def label_more(project: str, task: str, first: int, count: int, folder: Path) -> None:
    """Labels further pictures of a project, from the digit `first` on: another training begins."""
    folder.mkdir()
    _draw_with_answers(task, folder, first, count)
    loupe("upload", project, str(folder / "pictures"))
    loupe("wait", project, "labeling", "--timeout", "600")
    _annotate(project, folder)


def _annotate(project: str, folder: Path) -> None:
    worker, password = f"worker-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    loupe("worker", "create", worker, "--password", password)
    loupe("annotate", project, str(folder / "answers.csv"), "--worker", worker, "--password", password)
