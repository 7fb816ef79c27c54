import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference import MIN_CONFIDENCE, model_fn, predict_fn
from multilabel import MultiLabel
from task import Calibration, InvalidTargetError
from tests.unit.trainer.samples import Job, encode, pack
from training import main

LABELS = ("left", "right", "low")
QUICK = ("--epochs", "12", "--width", "4", "--batch-size", "8", "--augmentation", "0")
TASK = MultiLabel()


def picture(number: int) -> tuple[bytes, list[int]]:
    """A gray picture, bright at the left, at the right and below as the bits of the number say."""
    pixels = np.random.default_rng(number).integers(60, 90, (32, 32))
    shown = [bit for bit in range(3) if number >> bit & 1]
    for bit in shown:
        pixels[
            ((slice(0, 22), slice(0, 14)), (slice(0, 22), slice(18, 32)), (slice(24, 32), slice(0, 32)))[bit]
        ] += 130
    return encode(Image.fromarray(pixels.astype(np.uint8))), shown


def add_pictures(job: Job, **counts: int) -> None:
    for split, count in counts.items():
        for number in range(count):
            data, shown = picture(number + 8 * list(job.rows).index(split) * 10)
            metadata = {"class-map": {str(index): LABELS[index] for index in shown}}
            job.add_row(split, f"grey/{split}/{number}.png", data, labels=shown, metadata=metadata)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "job", LABELS, task="multi-label-classification")


def test_labels_are_learned_each_for_itself_and_the_endpoint_answers_what_was_evaluated(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures(job, train=32, validation=16, test=16)
    assert main(QUICK, job.environment()) == 0
    champion = pack(job.model, tmp_path / "champion")
    assert main((*QUICK, "--seed", "1"), job.environment(champion=champion)) == 0
    output = capsys.readouterr().out
    assert "validation:macro_f1=" in output
    assert "test:macro_f1=" in output

    evaluation = job.evaluation
    candidate = evaluation["candidate"]
    assert evaluation["task"] == "multi-label-classification"
    assert evaluation["champion"].keys() == candidate.keys()
    assert candidate["score"] == candidate["macro_f1"] > 0.9
    assert evaluation["champion"]["score"] > 0.9
    assert candidate["images_without_label"] == 2
    assert [candidate["per_label"][label]["support"] for label in LABELS] == [8, 8, 8]
    assert evaluation["training"]["history"][0].keys() >= {"validation_accuracy", "validation_macro_f1"}

    model = model_fn(str(job.model))
    for line in job.predictions:
        data = (job.images / line["source-ref"].removeprefix("s3://raw/")).read_bytes()
        answers = predict_fn(data, model)["predictions"]
        assert {each["label"]: each["confidence"] for each in answers} == pytest.approx(
            line["confidences"], abs=1e-4
        )
        applies = [each["label"] for each in answers if each["confidence"] >= each["threshold"]]
        assert applies == line["predicted"]
        confidences = [each["confidence"] for each in answers]
        assert confidences == sorted(confidences, reverse=True)

    monkeypatch.setenv(MIN_CONFIDENCE, "0.25")
    answers = predict_fn(picture(3)[0], model_fn(str(job.model)))["predictions"]
    assert {each["threshold"] for each in answers} == {0.25}


def test_without_validation_images_a_label_applies_when_it_is_likelier_than_not(job: Job) -> None:
    add_pictures(job, train=8)
    assert main(("--epochs", "1", "--width", "4", "--label-smoothing", "0"), job.environment()) == 0
    card = json.loads((job.model / "model.json").read_text(encoding="utf-8"))
    assert card["thresholds"] == dict.fromkeys(LABELS, 0.5)
    assert job.evaluation["candidate"]["score"] is None
    assert "empty" in job.evaluation["candidate"]["note"]


@pytest.mark.parametrize(
    ("value", "metadata", "target"),
    [
        ([], {}, set()),
        ([2, 0], {}, {0, 2}),
        (["1"], {}, {1}),
        ([0, 1], {"class-map": {"0": "low", "1": "left"}}, {2, 0}),
    ],
    ids=["none", "indices", "text", "class map wins"],
)
def test_labels_are_read_in_each_form(value: Any, metadata: dict[str, Any], target: set[int]) -> None:
    assert TASK.read(value, metadata, LABELS) == target


@pytest.mark.parametrize(
    ("value", "metadata", "words"),
    [
        (None, {}, "not a list"),
        (3, {}, "not a list"),
        ([3], {}, "index of one of the 3 labels"),
        ([0], {"class-map": {"0": "up"}}, "'up' is not one of"),
    ],
)
def test_row_without_readable_labels_is_refused(value: Any, metadata: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTargetError, match=words):
        TASK.read(value, metadata, LABELS)


def answer(**confidences: float) -> list[dict[str, Any]]:
    return [
        {"label": label, "confidence": confidence, "threshold": 0.5}
        for label, confidence in confidences.items()
    ]


def test_metrics_are_those_computed_by_hand() -> None:
    tally = TASK.tally(LABELS, Calibration(), 1.5)
    tally.add(frozenset({0}), answer(left=0.9, right=0.2))
    tally.add(frozenset({0, 1}), answer(left=0.4, right=0.8))
    tally.add(frozenset(), answer(left=0.6, right=0.1, top=0.7))
    tally.add(frozenset({1}), None)
    metrics = tally.measure()
    left, right, low = (metrics["per_label"][label] for label in LABELS)
    assert (left["precision"], left["recall"], left["f1"]) == (0.5, 0.5, 0.5)
    assert (right["precision"], right["recall"]) == (1.0, 0.5)
    # Of left, hits come first and third; of right, first and last.
    assert left["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert right["average_precision"] == pytest.approx((1 + 2 / 4) / 2)
    assert low["support"] == 0
    assert metrics["score"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert metrics["exact_match"] == 0.25
    assert metrics["images_without_label"] == 1
    assert metrics["other_predictions"] == 1
    assert metrics["calibration"]["temperature"] == 1.5


def test_images_without_labels_alone_have_no_score() -> None:
    tally = TASK.tally(LABELS, Calibration(), None)
    tally.add(frozenset(), answer(left=0.1))
    metrics = tally.measure()
    assert metrics["score"] is None
    assert "no test image has a label" in metrics["note"]


def test_threshold_is_the_best_of_the_validation_images() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    calibration = TASK.calibrate([(logits, targets)], ("a", "b"))
    t = calibration.temperature
    low, high = torch.sigmoid(torch.tensor([-2.0 / t, -1.0 / t], dtype=torch.float64)).tolist()
    assert calibration.thresholds["a"] == pytest.approx((low + high) / 2)
    assert calibration.thresholds["b"] == 0.5
