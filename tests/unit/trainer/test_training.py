import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from inference import model_fn, predict_fn
from tests.unit.trainer.samples import Job, pack, picture, save_tiny_resnet
from training import main

PROGRAM = Path(importlib.import_module("train").__file__ or "")
QUICK = ("--epochs", "3", "--width", "4", "--batch-size", "8")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "job")


def run_program(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the training toolkit does: a process of its own, with nothing but environment and arguments."""
    return subprocess.run(  # noqa: S603
        [sys.executable, str(PROGRAM), *arguments],
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_program_trains_evaluates_itself_and_the_champion_and_leaves_a_model_that_answers(
    job: Job, tmp_path: Path
) -> None:
    job.add_pictures(train=8, validation=3, test=4)
    earlier = run_program(job.environment(), *QUICK)
    assert earlier.returncode == 0, earlier.stderr
    assert job.evaluation["champion"] is None
    champion = pack(job.model, tmp_path / "champion")

    environment = {**job.environment(champion=champion), "LOUPE_CORRELATION_ID": "digits-1"}
    run = run_program(environment, *QUICK, "--seed", "5")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("correlation_id=digits-1\n")
    assert "validation:accuracy=" in run.stdout
    assert "test:accuracy=" in run.stdout

    evaluation = job.evaluation
    assert evaluation["task"] == "image-classification"
    assert evaluation["dataset_version"] == "0003"
    assert evaluation["test_images"] == 8
    assert evaluation["left_out"]["test"] == {"missing": 0, "changed": 0, "undecodable": 0}
    assert evaluation["champion"].keys() == evaluation["candidate"].keys()
    assert sum(map(sum, evaluation["champion"]["confusion_matrix"])) == 8
    assert evaluation["training"]["hyperparameters"]["seed"] == 5
    assert evaluation["training"]["images"] == {"train": 16, "validation": 6, "test": 8}

    lines = job.predictions
    assert len(lines) == 8
    right = sum(line["label"] == line["predicted"] for line in lines)
    assert evaluation["candidate"]["score"] == right / 8

    # The endpoint gives the very answers that were evaluated.
    model = model_fn(str(job.model))
    for line in lines:
        key = line["source-ref"].removeprefix("s3://raw/")
        best = predict_fn((job.images / key).read_bytes(), model)["predictions"][0]
        assert best["label"] == line["predicted"]
        assert best["confidence"] == pytest.approx(line["confidence"], abs=1e-4)


def test_champion_that_cannot_be_loaded_is_told_and_does_not_fail_the_training(
    job: Job, tmp_path: Path
) -> None:
    job.add_pictures(train=2, validation=1, test=1)
    champion = tmp_path / "champion"
    champion.mkdir()
    (champion / "model.tar.gz").write_bytes(b"no archive")
    assert main(QUICK, job.environment(champion=champion)) == 0
    assert "cannot be unpacked" in job.evaluation["champion"]["error"]


def test_champion_answers_with_its_own_code_and_its_own_labels(job: Job, tmp_path: Path) -> None:
    job.add_pictures(train=2, validation=1, test=2)
    model = tmp_path / "champion model"
    (model / "code").mkdir(parents=True)
    code = """
import json
def model_fn(folder): return "bright"
def input_fn(body, content_type): return body
def predict_fn(image, model):
    if len(image) > 5000: raise ValueError("too large for me")
    return {"predictions": [{"label": "glossy", "confidence": 0.75}]}
def output_fn(prediction, accept): return json.dumps(prediction), accept
"""
    (model / "code" / "inference.py").write_text(code, encoding="utf-8")
    job.add("test", "grey/large.png", picture("dark", 7, 100), "dark")
    assert main(QUICK, job.environment(champion=pack(model, tmp_path / "champion"))) == 0
    champion = job.evaluation["champion"]
    assert champion["score"] == 0.0
    assert champion["other_predictions"] == 5
    assert champion["calibration"]["temperature"] is None
    assert [bin_["count"] for bin_ in champion["calibration"]["bins"]] == [1, 4]


def test_champion_whose_code_fails_is_told(job: Job, tmp_path: Path) -> None:
    job.add_pictures(train=2, validation=1, test=1)
    model = tmp_path / "champion model"
    (model / "code").mkdir(parents=True)
    (model / "code" / "inference.py").write_text("raise RuntimeError('no such layer')", encoding="utf-8")
    assert main(QUICK, job.environment(champion=pack(model, tmp_path / "champion"))) == 0
    assert "no such layer" in job.evaluation["champion"]["error"]


def test_empty_validation_and_test_sets_give_a_model_without_a_score(job: Job) -> None:
    job.add_pictures(train=1)
    assert main(QUICK, job.environment()) == 0
    evaluation = job.evaluation
    assert evaluation["candidate"]["score"] is None
    assert "empty" in evaluation["candidate"]["note"]
    assert evaluation["training"]["epochs"] == 3
    assert evaluation["candidate"]["calibration"]["temperature"] == 1.0
    assert (job.model / "model.pt").is_file()


def test_images_too_many_for_memory_give_the_same_model(job: Job) -> None:
    job.add_pictures(train=3, validation=2, test=1)
    results = []
    for cache in ("1024", "0"):
        assert main((*QUICK, "--cache-mb", cache), job.environment()) == 0
        results.append([epoch["train_loss"] for epoch in job.evaluation["training"]["history"]])
    assert results[0] == results[1]


def test_pretrained_backbone_is_fine_tuned_and_served_without_its_weights_folder(
    job: Job, tmp_path: Path
) -> None:
    weights = tmp_path / "backbone"
    save_tiny_resnet(weights)
    job.add_pictures(train=4, validation=2, test=1)
    arguments = ("--backbone", "hf:maker/tiny-resnet", "--epochs", "2")
    assert main(arguments, job.environment(backbone=weights)) == 0
    assert job.evaluation["training"]["hyperparameters"]["backbone"] == "hf:maker/tiny-resnet"
    for path in weights.iterdir():
        path.unlink()
    answers = predict_fn(picture("dark", 1), model_fn(str(job.model)))["predictions"]
    assert len(answers) == 2


def test_failure_is_written_in_words_where_sagemaker_looks(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.add_pictures(train=2)
    job.rows["train"] = [row for row in job.rows["train"] if row["label"] == 0]
    assert main(QUICK, job.environment()) == 1
    assert "no training images for: dark" in job.failure
    assert job.failure in capsys.readouterr().err
    elsewhere = tmp_path / "output"
    assert main(["--epocs", "3"], {**job.environment(), "SM_OUTPUT_DIR": str(elsewhere)}) == 1
    assert "unknown hyperparameter 'epocs'; known are: seed" in (elsewhere / "failure").read_text(
        encoding="utf-8"
    )


def test_channel_that_was_not_given_is_named(job: Job) -> None:
    environment = {name: value for name, value in job.environment().items() if name != "SM_CHANNEL_IMAGES"}
    assert main(QUICK, environment) == 1
    assert job.failure == "the environment variable SM_CHANNEL_IMAGES is not set"


def test_fault_that_nobody_foresaw_is_written_and_raised(job: Job) -> None:
    job.add_pictures(train=1)
    environment = job.environment()
    job.model.parent.mkdir(parents=True, exist_ok=True)
    job.model.write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(FileExistsError):
        main(QUICK, environment)
    assert job.failure.startswith("FileExistsError: ")


def test_same_seed_gives_the_same_answers_as_a_process(job: Job) -> None:
    job.add_pictures(train=2, validation=1, test=1)
    states = []
    for _ in range(2):
        assert main(QUICK, job.environment()) == 0
        states.append(torch.load(job.model / "model.pt", weights_only=True))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_champion_of_another_task_is_told(job: Job, tmp_path: Path) -> None:
    job.add_pictures(train=2, validation=1, test=1)
    model = tmp_path / "champion model"
    (model / "code").mkdir(parents=True)
    code = """
import json
def model_fn(folder): return "bright"
def input_fn(body, content_type): return body
def predict_fn(image, model): return {"predictions": [{"box": 3}]}
def output_fn(prediction, accept): return json.dumps(prediction), accept
"""
    (model / "code" / "inference.py").write_text(code, encoding="utf-8")
    assert main(QUICK, job.environment(champion=pack(model, tmp_path / "champion"))) == 0
    assert "does not answer as image-classification does" in job.evaluation["champion"]["error"]
