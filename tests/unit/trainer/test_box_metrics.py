import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from box_metrics import OVERLAPS, Matcher, match, mean_average_precisions, overlap
from metrics import Reals

LABELS = 3
Image = tuple[Reals, Reals, Reals, Reals, Reals]


def image(chance: np.random.Generator) -> Image:
    """Boxes that are there, and boxes found: near them, of the wrong label, twice, or nowhere near."""
    there = chance.integers(0, 6)
    corner, size = chance.uniform(0, 60, (there, 2)), chance.uniform(15, 40, (there, 2))
    boxes = np.concatenate((corner, corner + size), axis=1)
    labels = chance.integers(0, LABELS, there).astype(float)
    found = np.repeat(boxes, 2, axis=0) + chance.normal(0, 2.5, (2 * there, 4))
    strays = chance.uniform(0, 50, (3, 2))
    found = np.concatenate((found, np.concatenate((strays, strays + 15), axis=1)))
    said = np.concatenate((np.repeat(labels, 2), chance.integers(0, LABELS, 3).astype(float)))
    wrong = chance.random(len(said)) < 0.2
    said[wrong] = chance.integers(0, LABELS, wrong.sum())
    # In tenths, so that many confidences are equal.
    return labels, boxes, said, chance.integers(1, 10, len(said)) / 10, found


def coco(images: list[Image]) -> Any:
    """What COCO's own program makes of the same."""

    def sides(box: Reals) -> list[float]:
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (labels, boxes, said, scores, found) in enumerate(images, 1):
        for label, box in zip(labels, boxes, strict=True):
            area = float(np.prod(box[2:] - box[:2]))
            shared = {"image_id": number, "category_id": int(label), "iscrowd": 0, "area": area}
            truth.append({"id": len(truth) + 1, "bbox": sides(box), **shared})
        for label, score, box in zip(said, scores, found, strict=True):
            result = {"image_id": number, "category_id": int(label), "score": float(score)}
            results.append({**result, "bbox": sides(box)})
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": number} for number in range(1, len(images) + 1)],
            "categories": [{"id": label} for label in range(LABELS)],
            "annotations": truth,
        }
        data.createIndex()
        evaluation = COCOeval(data, data.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_cocos_own_program(seed: int) -> None:
    chance = np.random.default_rng(seed)
    images = [image(chance) for _ in range(20)]
    matcher = Matcher(LABELS)
    for each in images:
        matcher.add(*each)
    matches = matcher.matches()
    expected = coco(images)
    means = mean_average_precisions(matches)
    assert means == pytest.approx((expected.stats[1], expected.stats[0]), abs=1e-9)
    # (overlaps, recalls, labels, areas, most detections)
    by_label = expected.eval["precision"][:, :, :, 0, 2].mean(axis=1)
    ours = np.stack([each.average_precisions for each in matches], axis=1)
    assert ours == pytest.approx(by_label, abs=1e-9)


def test_each_box_is_found_once() -> None:
    there = np.array([[0.0, 0, 10, 10]])
    hits = match(there, np.array([[0.0, 0, 10, 10], [0.0, 0, 10, 9]]))
    assert hits[:, 0].all()
    assert not hits[:, 1].any()


def test_overlap_must_be_large_enough_for_each_threshold() -> None:
    there, found = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 7.2]])
    assert overlap(found, there) == pytest.approx(np.array([[0.72]]))
    assert match(there, found)[:, 0].tolist() == [bool(least <= 0.72) for least in OVERLAPS]


def test_labels_without_boxes_do_not_weigh() -> None:
    matcher = Matcher(3)
    box = np.array([[0.0, 0, 10, 10]])
    matcher.add(np.array([1.0]), box, np.array([1.0, 2.0]), np.array([0.9, 0.8]), np.repeat(box, 2, axis=0))
    assert mean_average_precisions(matcher.matches()) == pytest.approx((1.0, 1.0))


def test_without_any_box_there_is_no_mean() -> None:
    assert mean_average_precisions(Matcher(2).matches()) is None


def test_nothing_found_is_no_precision() -> None:
    matcher = Matcher(1)
    nothing = np.empty(0)
    matcher.add(np.array([0.0]), np.array([[0.0, 0, 10, 10]]), nothing, nothing, np.empty((0, 4)))
    assert mean_average_precisions(matcher.matches()) == (0.0, 0.0)
