from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from checkpoints import Checkpoints
from classification import whole
from fitting import Fit, fit, predict
from networks import build_network, small_resnet_options
from plans import Plan
from splits import ImageFolders, Split, load_split, read_manifest
from tests.unit.trainer.samples import CARD, LABELS, Job

CPU = torch.device("cpu")
PLAN = Plan(
    seed=0,
    epochs=2,
    patience=5,
    batch_size=4,
    learning_rate=2e-3,
    weight_decay=0.05,
    label_smoothing=0.05,
    augmentation=1.0,
    flip="none",
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)


def splits(folder: Path, **counts: int) -> dict[str, Split]:
    """So many images of each label in each split."""
    job = Job(folder)
    job.add_pictures(**counts)
    job.environment()
    return {
        name: load_split(
            name,
            read_manifest(job.dataset / f"{name}.manifest", CARD),
            ImageFolders(job.images, None),
            CARD,
            32,
            in_memory=True,
        )
        for name in job.rows
    }


def fitted(data: dict[str, Split], plan: Plan = PLAN) -> tuple[nn.Module, Fit]:
    torch.manual_seed(plan.seed)
    network = build_network("resnet-small", len(LABELS), small_resnet_options(4, 32))
    return network, fit(
        CARD.task, network, data["train"], data["validation"], plan, CPU, Checkpoints(None, "")
    )


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    data = splits(tmp_path, train=4, validation=2)
    (one, first), (two, second), (other, _) = fitted(data), fitted(data), fitted(data, replace(PLAN, seed=1))
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    assert [epoch.train_loss for epoch in first.history] == [epoch.train_loss for epoch in second.history]
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_bright_and_dark_are_learned(tmp_path: Path) -> None:
    data = splits(tmp_path, train=8, validation=4, test=8)
    network, outcome = fitted(data, replace(PLAN, epochs=6))
    logits, labels = whole(predict(network, data["test"], PLAN, CPU), 2)
    assert torch.equal(logits.argmax(dim=1), labels)
    assert not network.training
    assert outcome.best_epoch <= len(outcome.history) <= 6


def test_training_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    data = splits(tmp_path, train=2, validation=2)
    # With the labels of validation the wrong way round, learning makes it worse.
    data["validation"].targets = 1 - data["validation"].targets
    network, outcome = fitted(data, replace(PLAN, epochs=40, patience=2))
    assert len(outcome.history) == outcome.best_epoch + 2 < 40
    losses = [epoch.validation.loss for epoch in outcome.history]
    kept = float(nn.functional.cross_entropy(*whole(predict(network, data["validation"], PLAN, CPU), 2)))
    assert kept == pytest.approx(losses[outcome.best_epoch - 1])


def test_without_validation_all_epochs_run_and_the_last_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, outcome = fitted(splits(tmp_path, train=2), replace(PLAN, epochs=3, patience=1))
    assert outcome.best_epoch == len(outcome.history) == 3
    assert outcome.history[0].validation.loss is None
    assert "validation" not in capsys.readouterr().out


def test_one_image_a_label_is_enough_to_train(tmp_path: Path) -> None:
    data = splits(tmp_path, train=1, validation=1)
    _, outcome = fitted(data, replace(PLAN, batch_size=32))
    assert len(outcome.history) == 2


def test_each_epoch_tells_its_metrics_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted(splits(tmp_path, train=1, validation=1))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for pattern in ("train:loss=", "validation:loss=", "validation:accuracy="):
        assert f" {pattern}" in lines[0]
