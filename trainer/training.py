"""A training from end to end: reads a dataset version, fits a network, evaluates and writes it.

What comes in: the folders that SageMaker names in the environment (SM_CHANNEL_DATASET, SM_CHANNEL_IMAGES,
and where there are any SM_CHANNEL_COPIES, SM_CHANNEL_REFERRED_<digest of the bucket> for images of other
buckets, SM_CHANNEL_CHAMPION, SM_CHANNEL_BACKBONE), hyperparameters on the command line, in CHECKPOINT_DIR, if
that is set, what an earlier process of the same training left, and in LOUPE_CORRELATION_ID what the logs of
everything that led here have in common, which is printed first. What goes out: checkpoints; the model in
SM_MODEL_DIR; evaluation.json and predictions.jsonl in SM_OUTPUT_DATA_DIR; a line an epoch on standard output;
and, when it fails, the reason in the file `failure` and exit status 1.
"""

import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL
import torch
from torch import nn

from checkpoints import Checkpoints
from errors import TrainingError
from evaluation import evaluate_candidate, evaluate_champion
from fitting import fit, predict
from hyperparameters import Hyperparameters, parse_hyperparameters
from model_files import ModelCard, save_model
from networks import (
    PRETRAINED_PREFIX,
    BackboneError,
)
from plans import Plan
from splits import (
    SPLITS,
    DatasetCard,
    ImageFolders,
    Row,
    Split,
    choose_side,
    load_split,
    read_card,
    read_manifest,
    require_every_label,
)

_FAILURE_CHARACTERS = 1024
_STATISTICS_IMAGES = 256
_REFERRED = "SM_CHANNEL_REFERRED_"
_CORRELATION_ID = "LOUPE_CORRELATION_ID"


@dataclass(frozen=True)
class Scale:
    """What more training images allow: larger batches, and a wider network from scratch."""

    images_at_most: float
    batch_size: int
    width: int


_SCALES = (Scale(2_000, 32, 16), Scale(20_000, 64, 32), Scale(math.inf, 128, 48))


@dataclass(frozen=True)
class Folders:
    """Where a training reads and writes; None for channels that were not given."""

    dataset: Path
    images: ImageFolders
    champion: Path | None
    backbone: Path | None
    checkpoints: Path | None
    model: Path
    output: Path


@dataclass(frozen=True)
class Blueprint:
    """A network still to be fitted, the side of the images it takes, and what it takes to build it again.

    `channels` are the mean and deviation its authors trained with; None: those of the training images.
    """

    network: nn.Module
    options: dict[str, Any]
    image_size: int
    channels: tuple[tuple[float, ...], tuple[float, ...]] | None


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Train with these arguments and this environment (by default the process's own); the exit status.

    A fault of the input ends as a sentence in the failure file and status 1. Any other error is written there
    too, and then raised.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    environment = os.environ if environment is None else environment
    if _CORRELATION_ID in environment:
        print(f"correlation_id={environment[_CORRELATION_ID]}", flush=True)
    try:
        train(parse_hyperparameters(arguments), read_folders(environment))
    except TrainingError as error:
        report_failure(environment, str(error))
        return 1
    except Exception as error:
        report_failure(environment, f"{type(error).__name__}: {error}")
        raise
    return 0


def train(hyperparameters: Hyperparameters, folders: Folders) -> None:
    """Run a whole training; TrainingError when the input does not allow it."""
    started = time.monotonic()
    device = _prepare_torch(hyperparameters.seed)
    card = read_card(folders.dataset)
    rows = {name: read_manifest(folders.dataset / f"{name}.manifest", card) for name in SPLITS}
    blueprint = _design(hyperparameters, card, folders, rows["train"])
    splits = _load_splits(rows, folders.images, card, blueprint.image_size, hyperparameters.cache_mb)
    require_every_label(splits["train"], card)
    plan = _plan(hyperparameters, card, blueprint, splits["train"])
    _tell_start(hyperparameters, blueprint, splits, device)

    checkpoints = Checkpoints(folders.checkpoints, _fingerprint(hyperparameters, card, blueprint, plan, rows))
    outcome = fit(
        card.task, blueprint.network, splits["train"], splits["validation"], plan, device, checkpoints
    )
    model_card = _model_card(hyperparameters, card, blueprint, plan, splits["validation"], device)
    save_model(folders.model, model_card, blueprint.network)

    evaluation = _evaluate(card, model_card, blueprint.network, plan, splits, folders, device)
    evaluation["training"] = {
        "epochs": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "resumed_after_epoch": outcome.resumed_after,
        "seconds": round(time.monotonic() - started, 3),
        "device": device.type,
        "images": {name: len(split) for name, split in splits.items()},
        "image_size": blueprint.image_size,
        "hyperparameters": _as_used(hyperparameters, blueprint, plan),
        "versions": model_card.versions,
        "history": outcome.history_as_json(),
    }
    text = json.dumps(evaluation, indent=1, ensure_ascii=False, allow_nan=False)
    (folders.output / "evaluation.json").write_text(text + "\n", encoding="utf-8")


def read_folders(environment: Mapping[str, str]) -> Folders:
    """The folders that the environment names; TrainingError for one that is needed and not named."""

    def needed(name: str) -> Path:
        value = environment.get(name)
        if not value:
            raise TrainingError(f"the environment variable {name} is not set")
        return Path(value)

    def optional(channel: str) -> Path | None:
        value = environment.get(f"SM_CHANNEL_{channel}")
        return Path(value) if value else None

    referred = {
        name.removeprefix(_REFERRED).lower(): Path(value)
        for name, value in environment.items()
        if name.startswith(_REFERRED)
    }
    images = ImageFolders(optional("IMAGES"), optional("COPIES"), referred)
    if images == ImageFolders(None, None):
        needed("SM_CHANNEL_IMAGES")
    checkpoints = environment.get("CHECKPOINT_DIR")
    output = needed("SM_OUTPUT_DATA_DIR")
    output.mkdir(parents=True, exist_ok=True)
    return Folders(
        dataset=needed("SM_CHANNEL_DATASET"),
        images=images,
        champion=optional("CHAMPION"),
        backbone=optional("BACKBONE"),
        checkpoints=Path(checkpoints) if checkpoints else None,
        model=needed("SM_MODEL_DIR"),
        output=output,
    )


def report_failure(environment: Mapping[str, str], reason: str) -> None:
    """Write the reason where SageMaker looks for it, and to standard error."""
    print(f"training failed: {reason}", file=sys.stderr, flush=True)
    output, data = environment.get("SM_OUTPUT_DIR"), environment.get("SM_OUTPUT_DATA_DIR")
    if not output and not data:
        return
    folder = Path(output) if output else Path(str(data)).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure").write_text(reason[:_FAILURE_CHARACTERS], encoding="utf-8")


def _prepare_torch(seed: int) -> torch.device:
    """Seed torch and choose the device; on a CPU the same seed then gives the same weights."""
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda")
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cpu")


def _design(
    hyperparameters: Hyperparameters, card: DatasetCard, folders: Folders, train: Sequence[Row]
) -> Blueprint:
    try:
        if hyperparameters.pretrained:
            return _design_pretrained(hyperparameters, card, folders, train)
        side = hyperparameters.image_size or choose_side(train, folders.images, card.task)
        options = card.task.options(hyperparameters.width or _scale(len(train)).width, side)
        network = card.task.build(hyperparameters.backbone, len(card.labels), options)
        return Blueprint(network, options, side, None)
    except BackboneError as error:
        raise TrainingError(str(error)) from error


def _design_pretrained(
    hyperparameters: Hyperparameters, card: DatasetCard, folders: Folders, train: Sequence[Row]
) -> Blueprint:
    # Where there is no network the weights come as a channel, whatever the id is.
    source = (
        str(folders.backbone)
        if folders.backbone
        else hyperparameters.backbone.removeprefix(PRETRAINED_PREFIX)
    )
    pretrained = card.task.load_pretrained(hyperparameters.backbone, source, len(card.labels))
    side = (
        hyperparameters.image_size or pretrained.image_size or choose_side(train, folders.images, card.task)
    )
    pretrained.network.require_side(side)
    return Blueprint(pretrained.network, pretrained.options, side, (pretrained.mean, pretrained.std))


def _load_splits(
    rows: Mapping[str, Sequence[Row]], folders: ImageFolders, card: DatasetCard, side: int, cache_mb: int
) -> dict[str, Split]:
    in_memory = sum(map(len, rows.values())) * 3 * side * side <= cache_mb * 2**20
    return {name: load_split(name, rows[name], folders, card, side, in_memory=in_memory) for name in SPLITS}


def _plan(hyperparameters: Hyperparameters, card: DatasetCard, blueprint: Blueprint, train: Split) -> Plan:
    mean, std = blueprint.channels or _channel_statistics(train)
    schedule = card.task.schedule
    default_epochs, default_rate = schedule.pretrained if hyperparameters.pretrained else schedule.scratch
    return Plan(
        seed=hyperparameters.seed,
        epochs=hyperparameters.epochs or default_epochs,
        patience=hyperparameters.patience or schedule.patience,
        batch_size=hyperparameters.batch_size or _scale(len(train)).batch_size // schedule.batch_divisor,
        learning_rate=hyperparameters.learning_rate or default_rate,
        weight_decay=hyperparameters.weight_decay,
        label_smoothing=hyperparameters.label_smoothing,
        augmentation=hyperparameters.augmentation,
        flip=hyperparameters.flip,
        mean=mean,
        std=std,
    )


def _fingerprint(
    hyperparameters: Hyperparameters,
    card: DatasetCard,
    blueprint: Blueprint,
    plan: Plan,
    rows: Mapping[str, Sequence[Row]],
) -> str:
    """What two processes have to agree in for the one to go on where the other stopped."""
    parts = {
        "task": card.task.name,
        "dataset_version": card.version,
        "labels": card.labels,
        "images": {name: len(split) for name, split in rows.items()},
        "backbone": hyperparameters.backbone,
        "options": blueprint.options,
        "image_size": blueprint.image_size,
        "plan": asdict(plan),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _scale(images: int) -> Scale:
    return next(scale for scale in _SCALES if images <= scale.images_at_most)


def _channel_statistics(train: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over (a sample of) the training images, for pixels 0 to 1."""
    step = max(1, len(train) // _STATISTICS_IMAGES)
    pixels, _ = train.__getitems__(list(range(0, len(train), step)))
    channels = pixels.float().div(255)
    mean, std = channels.mean(dim=(0, 2, 3)), channels.std(dim=(0, 2, 3))
    # Images of one plain colour have no deviation to divide by.
    return tuple(mean.tolist()), tuple(std.clamp(min=0.05).tolist())


def _model_card(
    hyperparameters: Hyperparameters,
    card: DatasetCard,
    blueprint: Blueprint,
    plan: Plan,
    validation: Split,
    device: torch.device,
) -> ModelCard:
    calibration = card.task.calibrate(
        predict(blueprint.network, validation, plan, device) if len(validation) else (), card.labels
    )
    return ModelCard(
        task=card.task.name,
        labels=card.labels,
        dataset_version=card.version,
        backbone=hyperparameters.backbone,
        options=blueprint.options,
        image_size=blueprint.image_size,
        mean=plan.mean,
        std=plan.std,
        temperature=calibration.temperature,
        versions={"python": platform.python_version(), "torch": torch.__version__, "pillow": PIL.__version__},
        thresholds=dict(calibration.thresholds),
        shift=calibration.shift,
    )


def _evaluate(
    card: DatasetCard,
    model: ModelCard,
    network: nn.Module,
    plan: Plan,
    splits: Mapping[str, Split],
    folders: Folders,
    device: torch.device,
) -> dict[str, Any]:
    """evaluation.json without its training part; predictions.jsonl is written on the way."""
    test = splits["test"]
    outputs = predict(network, test, plan, device) if len(test) else ()
    candidate = evaluate_candidate(card, model, outputs, test, folders.output / "predictions.jsonl")
    if candidate["score"] is None:
        print(f"the candidate has no score: {candidate['note']}", flush=True)
    else:
        print(
            *(f"test:{told}={candidate[name]:.4f};" for told, name in card.task.headline.items()), flush=True
        )
    return {
        "task": model.task,
        "dataset_version": model.dataset_version,
        "test_images": len(test),
        "left_out": {name: split.left_out for name, split in splits.items()},
        "candidate": candidate,
        "champion": evaluate_champion(folders.champion, test, card),
    }


def _as_used(hyperparameters: Hyperparameters, blueprint: Blueprint, plan: Plan) -> dict[str, Any]:
    """The hyperparameters with everything filled in that was left open."""
    # A pretrained backbone has no width of ours.
    used = asdict(hyperparameters) | {
        "image_size": blueprint.image_size,
        "width": blueprint.options.get("width"),
    }
    return used | {name: value for name, value in asdict(plan).items() if name in used}


def _tell_start(
    hyperparameters: Hyperparameters, blueprint: Blueprint, splits: Mapping[str, Split], device: torch.device
) -> None:
    counts = ", ".join(f"{len(split)} {name}" for name, split in splits.items())
    size = sum(parameter.numel() for parameter in blueprint.network.parameters())
    side, backbone = blueprint.image_size, hyperparameters.backbone
    print(f"{counts} images at {side}x{side}; {backbone}, {size:,} parameters, on {device.type}", flush=True)
