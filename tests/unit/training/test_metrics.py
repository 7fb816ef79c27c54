"""How good predictions are."""

import random
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from loupe.domain.label_values import Box, Boxes, OneLabel, SeveralLabels
from loupe.domain.training.metrics import Answered, measure, overlap

LABELS = ("bolt", "nut")


def said(label: str, confidence: float = 0.9, **members: Any) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, **members}


def test_accuracy_and_confusions_of_single_labels() -> None:
    pairs = [("bolt", "bolt"), ("bolt", "bolt"), ("bolt", "nut"), ("nut", "nut"), ("nut", "washer")]
    answers = [Answered(OneLabel(truth), [said(best), said("bolt", 0.1)]) for truth, best in pairs]
    metrics = measure("image-classification", LABELS, answers)
    assert metrics["score"] == metrics["accuracy"] == 0.6
    assert metrics["confusion_matrix"] == [[2, 1], [0, 1]]
    assert metrics["other_predictions"] == 1
    assert metrics["per_label"]["nut"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}


def several(truth: tuple[str, ...], bolt: float, nut: float, threshold: float = 0.5) -> Answered:
    predictions = [said("bolt", bolt, threshold=threshold), said("nut", nut, threshold=threshold)]
    return Answered(SeveralLabels(truth), predictions)


def test_macro_f1_of_several_labels_counts_those_above_their_threshold() -> None:
    answers = [
        several(("bolt", "nut"), 0.9, 0.5),
        several((), 0.1, 0.1),
        several(("bolt",), 0.4, 0.1),
        several(("bolt",), 0.9, 0.9),
    ]
    metrics = measure("multi-label-classification", LABELS, answers)
    bolt, nut = metrics["per_label"]["bolt"], metrics["per_label"]["nut"]
    assert bolt == {"precision": 1.0, "recall": pytest.approx(2 / 3), "f1": pytest.approx(0.8), "support": 3}
    assert nut == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    assert metrics["score"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics["exact_match"] == 0.5


def test_a_label_that_no_test_image_has_is_left_out_of_the_mean() -> None:
    metrics = measure("multi-label-classification", LABELS, [several(("bolt",), 0.9, 0.9)])
    assert metrics["score"] == 1.0


def test_boxes_overlap_by_their_intersection_over_union() -> None:
    assert overlap(Box("bolt", 0, 0, 10, 10), Box("bolt", 5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(Box("bolt", 0, 0, 10, 10), Box("bolt", 10, 0, 10, 10)) == 0


def test_without_anything_to_find_there_is_no_score() -> None:
    boxes = measure("bounding-box", LABELS, [Answered(Boxes(()), [])])
    assert (boxes["score"], boxes["note"]) == (None, "no test image has a box")
    labels = measure("multi-label-classification", LABELS, [several((), 0.9, 0.1)])
    assert (labels["score"], labels["note"]) == (None, "no test image has a label")
    single = measure("image-classification", LABELS, [])
    assert (single["score"], single["note"]) == (None, "no test image has a label")


def test_without_detections_the_score_is_zero() -> None:
    truth = Boxes((Box("bolt", 0, 0, 10, 10),))
    assert measure("bounding-box", LABELS, [Answered(truth, [])])["score"] == 0


def scene(random_numbers: random.Random) -> Answered:
    """A few boxes, most of them seen more or less where they are, and a few that are none."""
    number = random_numbers.uniform

    def box(label: str) -> Box:
        return Box(label, number(0, 200), number(0, 200), number(5, 90), number(5, 90))

    truths = [box(random_numbers.choice(LABELS)) for _ in range(random_numbers.randrange(6))]
    seen = [box(random_numbers.choice(LABELS)) for _ in range(random_numbers.randrange(4))]
    for each in truths:
        for _ in range(random_numbers.randrange(3)):
            off = number(0, 12)
            seen.append(Box(each.label, each.left + off, each.top + off / 2, each.width + off, each.height))
    predictions = [
        said(b.label, number(0.01, 1), box={s: getattr(b, s) for s in ("left", "top", "width", "height")})
        for b in seen
    ]
    predictions.sort(key=lambda each: each["confidence"], reverse=True)
    return Answered(Boxes(tuple(truths)), predictions)


def by_pycocotools(answers: list[Answered]) -> tuple[float, float]:
    """mAP at [.5:.95] and at 0.5."""
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, answer in enumerate(answers, start=1):
        assert isinstance(answer.truth, Boxes)
        for box in answer.truth.boxes:
            sides = [box.left, box.top, box.width, box.height]
            truths.append(
                {
                    "id": len(truths) + 1,
                    "image_id": image,
                    "category_id": LABELS.index(box.label),
                    "bbox": sides,
                    "area": box.width * box.height,
                    "iscrowd": 0,
                }
            )
        found += [
            {
                "image_id": image,
                "category_id": LABELS.index(each["label"]),
                "bbox": [each["box"][side] for side in ("left", "top", "width", "height")],
                "score": each["confidence"],
            }
            for each in answer.predictions
        ]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": image} for image in range(1, len(answers) + 1)],
        "categories": [{"id": number} for number in range(len(LABELS))],
        "annotations": truths,
    }
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # overlap, recall, label; all areas, 100 a label
    known = precision[0, 0, :] > -1
    return float(np.mean(precision[:, :, known])), float(np.mean(precision[0][:, known]))


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    random_numbers = random.Random(seed)  # noqa: S311 - scenes are no secrets
    answers = [scene(random_numbers) for _ in range(30)]
    metrics = measure("bounding-box", LABELS, answers)
    of_all, at_half = by_pycocotools(answers)
    assert metrics["map_50_95"] == pytest.approx(of_all, abs=1e-9)
    assert metrics["score"] == metrics["map_50"] == pytest.approx(at_half, abs=1e-9)
    assert 0.1 < metrics["score"] < 1
