import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detection import NO_BOX, Detection, TrueBox, detection_loss, heatmaps
from detector import GEOMETRY, MAX_OBJECTS, STRIDE, build_detector, find_objects, small_detector_options
from inference import MIN_CONFIDENCE, model_fn, predict_fn
from pixels import Frame
from task import Calibration, InvalidTargetError
from tests.unit.trainer.samples import Job, encode, pack, save_tiny_resnet, save_tiny_vit
from training import main

LABELS = ("bright", "dark")
QUICK = (
    "--epochs",
    "8",
    "--width",
    "8",
    "--batch-size",
    "8",
    "--learning-rate",
    "0.01",
    "--augmentation",
    "0.5",
)
TASK = Detection()
UPRIGHT = Frame(64, 64, 1, (1.0, 1.0))


def picture(number: int) -> tuple[bytes, list[dict[str, Any]]]:
    """A gray picture of 96x64 with a bright or dark block in up to two of its three thirds."""
    chance = np.random.default_rng(number)
    pixels = chance.integers(115, 140, (64, 96))
    boxes = []
    for third in chance.permutation(3)[: number % 3]:
        width, height = chance.integers(14, 26, 2).tolist()
        left, top = (
            int(third) * 32 + int(chance.integers(1, 31 - width)),
            int(chance.integers(0, 64 - height)),
        )
        label = int(chance.integers(0, 2))
        pixels[top : top + height, left : left + width] += (100, -100)[label]
        boxes.append({"class_id": label, "left": left, "top": top, "width": width, "height": height})
    return encode(Image.fromarray(pixels.astype(np.uint8))), boxes


def add_pictures(job: Job, **counts: int) -> None:
    for split, count in counts.items():
        for number in range(count):
            data, boxes = picture(number + 1000 * list(job.rows).index(split))
            value = {"image_size": [{"width": 96, "height": 64, "depth": 3}], "annotations": boxes}
            metadata = {
                "class-map": {"0": "bright", "1": "dark"},
                "objects": [{"confidence": 0.0}] * len(boxes),
            }
            job.add_row(split, f"grey/{split}/{number}.png", data, boxes=value, metadata=metadata)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "job", LABELS, task="bounding-box")


def test_blocks_are_found_and_the_endpoint_answers_what_was_evaluated(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pictures(job, train=48, validation=12, test=12)
    assert main(QUICK, job.environment()) == 0
    first = job.evaluation
    champion = pack(job.model, tmp_path / "champion")
    assert main(("--epochs", "1", "--width", "4"), job.environment(champion=champion)) == 0
    assert "validation:mAP=" in capsys.readouterr().out
    second = job.evaluation
    # The champion is measured by its own code and weights, and as it was when it was a candidate.
    assert second["champion"].keys() == second["candidate"].keys()
    assert second["champion"]["score"] == pytest.approx(first["candidate"]["score"], abs=0.02)
    candidate = first["candidate"]
    assert candidate["score"] == candidate["map_50"] > 0.5
    assert 0 < candidate["map_50_95"] < candidate["map_50"]
    assert candidate["images_without_box"] == 4
    assert sum(each["support"] for each in candidate["per_label"].values()) == 12
    assert first["training"]["image_size"] == 96

    model = model_fn(str(job.model))
    for line in job.predictions:
        data = (job.images / line["source-ref"].removeprefix("s3://raw/")).read_bytes()
        answers = predict_fn(data, model)["predictions"]
        assert [each["label"] for each in answers] == [each["label"] for each in line["predicted"]]
        for each, told in zip(answers, line["predicted"], strict=True):
            assert each["confidence"] == pytest.approx(told["confidence"], abs=1e-3)
            assert each["box"] == pytest.approx(told["box"], abs=0.1)

    monkeypatch.setenv(MIN_CONFIDENCE, "0")
    everything = predict_fn(picture(1)[0], model_fn(str(job.model)))["predictions"]
    assert 0 < len(everything) <= MAX_OBJECTS
    for each in everything:
        box = each["box"]
        assert box["left"] >= 0
        assert box["left"] + box["width"] <= 96 + 1e-6
        assert box["top"] + box["height"] <= 64 + 1e-6
    confidences = [each["confidence"] for each in everything]
    assert confidences == sorted(confidences, reverse=True)


def test_pretrained_backbone_is_fine_tuned_and_served_without_its_weights_folder(
    job: Job, tmp_path: Path
) -> None:
    weights = tmp_path / "backbone"
    save_tiny_resnet(weights)
    add_pictures(job, train=6, validation=2, test=2)
    assert (
        main(("--backbone", "hf:maker/tiny-resnet", "--epochs", "1"), job.environment(backbone=weights)) == 0
    )
    for path in weights.iterdir():
        path.unlink()
    assert isinstance(predict_fn(picture(2)[0], model_fn(str(job.model)))["predictions"], list)


def test_backbone_without_maps_is_refused_in_words(job: Job, tmp_path: Path) -> None:
    weights = tmp_path / "backbone"
    save_tiny_vit(weights)
    add_pictures(job, train=3)
    assert main(("--backbone", "hf:maker/tiny-vit"), job.environment(backbone=weights)) == 1
    assert "the weights of backbone 'hf:maker/tiny-vit' cannot be loaded" in job.failure


def test_without_validation_and_test_images_there_is_a_model_without_a_score(job: Job) -> None:
    add_pictures(job, train=6)
    assert main(("--epochs", "1", "--width", "4"), job.environment()) == 0
    assert job.evaluation["candidate"]["score"] is None
    card = json.loads((job.model / "model.json").read_text(encoding="utf-8"))
    assert card["thresholds"] == dict.fromkeys(LABELS, 0.3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "no list of annotations"),
        ({"annotations": [{"class_id": 0, "left": 1, "top": 1, "width": 5}]}, "is not a box"),
        ({"annotations": [{"class_id": 7, "left": 1, "top": 1, "width": 5, "height": 5}]}, "index of one of"),
        ({"annotations": [{"class_id": 0, "left": 1, "top": 1, "width": 0, "height": 5}]}, "is empty"),
        ({"annotations": [{"class_id": 0, "left": "1", "top": 1, "width": 2, "height": 5}]}, "is not a box"),
    ],
)
def test_row_without_readable_boxes_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidTargetError, match=words):
        TASK.read(value, {}, LABELS)


def test_boxes_are_encoded_in_the_square_and_filled_up() -> None:
    frame = Frame(200, 100, 1, (0.5, 0.5))
    targets = [(TrueBox(1, 10, 20, 30, 60),), ()]
    encoded = TASK.encode(targets, [frame, frame], 2)
    assert encoded.tolist() == [[[1.0, 5.0, 10.0, 15.0, 30.0]], [[NO_BOX] * 5]]


def test_box_beyond_its_image_is_not_learned_and_one_at_its_edge_is_cut_off() -> None:
    [[beyond, edge]] = TASK.encode([(TrueBox(0, 70, 0, 80, 9), TrueBox(1, 60, -4, 70, 9))], [UPRIGHT], 2)
    assert beyond[0] == NO_BOX
    assert edge.tolist() == [1.0, 60.0, 0.0, 64.0, 9.0]


def perfect(targets: torch.Tensor, classes: int = 2, cells: int = 16) -> torch.Tensor:
    """The outputs of a network that knows the targets."""
    outputs = torch.zeros(len(targets), classes + GEOMETRY, cells, cells)
    outputs[:, :classes] = -12
    for image, rows in zip(outputs, targets, strict=True):
        for label, left, top, right, bottom in rows[rows[:, 0] >= 0].tolist():
            x, y = (left + right) / 2 / STRIDE, (top + bottom) / 2 / STRIDE
            place = (int(y), int(x))
            image[int(label)][place] = 12
            sizes = torch.tensor([(right - left) / STRIDE, (bottom - top) / STRIDE]).log()
            image[(slice(classes, None), *place)] = torch.cat((sizes, torch.tensor([x - int(x), y - int(y)])))
    return outputs


TARGETS = torch.tensor(
    [
        [[0.0, 4, 8, 20, 30], [1.0, 33, 34, 62, 47]],
        [[1.0, 0, 0, 9, 9], [NO_BOX] * 5],
        [[NO_BOX] * 5, [NO_BOX] * 5],
    ]
)


def test_what_a_perfect_network_says_is_found_exactly() -> None:
    found = find_objects(perfect(TARGETS))
    for image, rows in zip(found, TARGETS, strict=True):
        sure = image[image[:, 1] > 0.5]
        true = rows[rows[:, 0] >= 0]
        assert sorted(sure[:, 0].tolist()) == true[:, 0].tolist()
        for each in true:
            [same] = sure[sure[:, 0] == each[0]]
            assert torch.allclose(same[2:].float(), each[1:], atol=1e-3)


def test_a_perfect_network_has_no_loss_and_the_best_score() -> None:
    outputs = perfect(TARGETS)
    assert float(detection_loss(outputs, TARGETS)) < 1e-3
    assert float(detection_loss(torch.zeros_like(outputs), TARGETS)) > 1
    validation = TASK.validate([(outputs, TARGETS)])
    assert validation.figures["mAP"] == pytest.approx(1.0)
    calibration = TASK.calibrate([(outputs, TARGETS)], LABELS)
    assert all(0 < threshold < 1 for threshold in calibration.thresholds.values())


def test_loss_of_images_without_boxes_has_a_gradient_and_is_finite() -> None:
    outputs = torch.zeros(2, 2 + GEOMETRY, 8, 8, requires_grad=True)
    loss = detection_loss(outputs, torch.empty(2, 0, 5))
    loss.backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[:, :2].abs().min() > 0
    assert not outputs.grad[:, 2:].any()


def test_heatmaps_peak_at_the_objects_of_each_label() -> None:
    labels = torch.tensor([[1, 1, -1]])
    cells = torch.tensor([[[2, 5], [3, 5], [7, 7]]])
    heat = heatmaps(labels, cells, torch.full((1, 3, 2), 8.0), (2, 10, 12))
    assert heat.shape == (1, 2, 10, 12)
    assert not heat[0, 0].any()
    assert sorted((heat[0, 1] == 1).nonzero().tolist()) == [[5, 2], [5, 3]]
    assert 0 < heat[0, 1, 5, 4] < 1
    assert heat[0, 1, 7, 7] < 0.1


@pytest.mark.parametrize("side", [64, 96, 320])
def test_heatmaps_have_a_quarter_of_the_side(side: int) -> None:
    network = build_detector("resnet-small", 3, small_detector_options(4, side)).eval()
    assert network(torch.zeros(1, 3, side, side)).shape == (1, 3 + GEOMETRY, side // 4, side // 4)


def found(label: str, confidence: float, *sides: float) -> dict[str, Any]:
    return {
        "label": label,
        "confidence": confidence,
        "box": dict(zip(("left", "top", "width", "height"), sides, strict=True)),
    }


def test_metrics_are_those_computed_by_hand() -> None:
    tally = TASK.tally(LABELS, Calibration(1.0, {"bright": 0.5, "dark": 0.4}), None)
    target = (TrueBox(0, 0, 0, 10, 10), TrueBox(1, 20, 20, 40, 40))
    line = tally.add(
        target,
        [
            found("bright", 0.9, 0, 0, 10, 10),
            found("bright", 0.6, 30, 0, 10, 10),
            found("dark", 0.3, 20, 20, 20, 20),
            found("gray", 0.8, 0, 0, 5, 5),
        ],
    )
    tally.add((TrueBox(0, 5, 5, 25, 25),), None)
    metrics = tally.measure()
    assert line["boxes"][1] == {"label": "dark", "left": 20, "top": 20, "width": 20, "height": 20}
    assert [each["label"] for each in line["predicted"]] == ["bright", "bright", "gray"]
    bright, dark = (metrics["per_label"][label] for label in LABELS)
    assert (bright["precision"], bright["recall"], bright["support"]) == (0.5, 0.5, 2)
    # One of two boxes is found, at first: full precision at the recalls from 0 to 0.5, which are 51 of 101.
    assert (bright["ap_50"], bright["ap_50_95"]) == pytest.approx((51 / 101, 51 / 101))
    # The right box is not sure enough to be answered, and counts for average precision all the same.
    assert (dark["ap_50"], dark["recall"], dark["threshold"]) == (1.0, 0.0, 0.4)
    assert metrics["score"] == pytest.approx((51 / 101 + 1) / 2)
    assert [bin_["count"] for bin_ in metrics["calibration"]["bins"]] == [1, 1]


def test_images_without_boxes_alone_have_no_score() -> None:
    tally = TASK.tally(LABELS, Calibration(), None)
    tally.add((), [found("dark", 0.9, 0, 0, 5, 5)])
    metrics = tally.measure()
    assert metrics["score"] is None
    assert "no test image has a box" in metrics["note"]
