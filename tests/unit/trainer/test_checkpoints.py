"""A training that is killed and begun again goes on where it stopped, and ends as if nothing had happened."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainer import test_detection, test_multilabel
from tests.unit.trainer.samples import Job
from training import main

PROGRAM = Path(importlib.import_module("train").__file__ or "")
ARGUMENTS = ("--epochs", "6", "--width", "4", "--batch-size", "8", "--patience", "6")
FILE = "checkpoint.pt"


def job_of(folder: Path, task: str) -> Job:
    """A job of that task with some images."""
    counts = {"train": 10, "validation": 3, "test": 2}
    match task:
        case "multi-label-classification":
            job = Job(folder / "job", test_multilabel.LABELS, task=task)
            test_multilabel.add_pictures(job, **counts)
        case "bounding-box":
            job = Job(folder / "job", test_detection.LABELS, task=task)
            test_detection.add_pictures(job, **counts)
        case _:
            job = Job(folder / "job")
            job.add_pictures(**counts)
    return job


@pytest.fixture(autouse=True)
def _as_many_threads_as_the_process_that_is_killed() -> Iterator[None]:
    """Sums differ in their last digits with the number of threads that add them up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_of(tmp_path, "image-classification")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def with_checkpoints(job: Job, folder: Path) -> Mapping[str, str]:
    return {**job.environment(), "CHECKPOINT_DIR": str(folder)}


def weights(job: Job) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(job.model / "model.pt", weights_only=True)
    return state


def history(job: Job) -> list[dict[str, Any]]:
    """The epochs without their times."""
    epochs = job.evaluation["training"]["history"]
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in epochs]


def resumed_after(job: Job) -> int | None:
    """The epoch from whose checkpoint the training went on."""
    epoch: int | None = job.evaluation["training"]["resumed_after_epoch"]
    return epoch


def kill_after(epoch: int, environment: Mapping[str, str], *arguments: str) -> None:
    """Run the program as a process, and kill it when it has told of that epoch and written its checkpoint."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(PROGRAM), *arguments],
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.startswith(f"epoch {epoch + 1}/"):
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("task", ["image-classification", "multi-label-classification", "bounding-box"])
def test_a_training_that_is_killed_goes_on_and_gives_the_same_model(
    tmp_path: Path, checkpoints: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    job = job_of(tmp_path, task)
    assert main(ARGUMENTS, job.environment()) == 0
    undisturbed, epochs = weights(job), history(job)
    assert resumed_after(job) is None

    kill_after(2, with_checkpoints(job, checkpoints), *ARGUMENTS)
    capsys.readouterr()
    assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
    after = resumed_after(job) or 0
    assert after >= 2
    told = capsys.readouterr().out
    assert f"going on after epoch {after} from a checkpoint" in told
    assert f"epoch {after}/" not in told
    assert f"epoch {after + 1}/" in told
    assert history(job) == epochs
    resumed = weights(job)
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in resumed)


def test_a_training_that_was_over_when_it_was_killed_is_only_measured(
    job: Job, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stuck = (*ARGUMENTS[:-1], "1", "--learning-rate", "0.2")
    assert main(stuck, with_checkpoints(job, checkpoints)) == 0
    first, epochs = weights(job), history(job)
    assert len(epochs) < 6
    capsys.readouterr()
    assert main(stuck, with_checkpoints(job, checkpoints)) == 0
    told = capsys.readouterr().out
    assert "epoch 1/" not in told
    assert "stopping" in told
    assert history(job) == epochs
    again = weights(job)
    assert all(torch.equal(again[name], first[name]) for name in again)


def test_the_checkpoint_of_another_training_is_left_alone(
    job: Job, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
    assert main((*ARGUMENTS, "--seed", "7"), with_checkpoints(job, checkpoints)) == 0
    assert "the checkpoint is of another training: starting anew" in capsys.readouterr().out
    assert resumed_after(job) is None


def test_a_checkpoint_that_is_broken_off_is_told_and_left_alone(
    job: Job, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
    whole = (checkpoints / FILE).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no checkpoint"):
        (checkpoints / FILE).write_bytes(content)
        assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
        assert "the checkpoint cannot be read" in capsys.readouterr().out
        assert resumed_after(job) is None


def test_a_checkpoint_that_cannot_be_written_does_not_fail_the_training(
    job: Job, checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.write_text("a file where a folder should be", encoding="utf-8")
    assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
    assert "no checkpoint was written" in capsys.readouterr().out


def test_one_checkpoint_is_kept(job: Job, checkpoints: Path) -> None:
    assert main(ARGUMENTS, with_checkpoints(job, checkpoints)) == 0
    assert [path.name for path in checkpoints.iterdir()] == [FILE]
