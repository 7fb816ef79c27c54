"""The folder that a training leaves behind and that an endpoint serves: weights, card, code.

model.pt      state dict
model.json    the card: labels, preprocessing, network, temperature
code/         inference.py and the modules that it needs
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from answers import BOXES
from detector import build_detector
from networks import build_network

FORMAT = 1
_SERVING_MODULES = ("answers.py", "detector.py", "inference.py", "model_files.py", "networks.py", "pixels.py")


class ModelFilesError(Exception):
    """The folder does not hold a model that this code can load."""


@dataclass(frozen=True)
class ModelCard:
    """Everything but the weights: what a model needs to answer.

    `labels` are in the order of the network's outputs; `mean` and `std` are those of the channels, for
    pixels 0 to 1; logits divided by `temperature`, plus `shift` for boxes, give calibrated confidence; a
    label applies from its confidence in `thresholds` on, which image-classification doesn't have.
    """

    task: str
    labels: tuple[str, ...]
    dataset_version: str
    backbone: str
    options: dict[str, Any]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    temperature: float
    versions: dict[str, str]
    thresholds: dict[str, float] = field(default_factory=dict)
    shift: float = 0.0


def save_model(folder: Path, card: ModelCard, network: nn.Module) -> None:
    """Write the three parts into `folder`, which is made if it isn't there."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    torch.save(state, folder / "model.pt")
    document = {"format": FORMAT, **asdict(card)}
    (folder / "model.json").write_text(
        json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for module in _SERVING_MODULES:
        shutil.copyfile(Path(__file__).with_name(module), code / module)


def load_model(folder: Path, device: torch.device) -> tuple[ModelCard, nn.Module]:
    """Read what save_model wrote; the network is on `device`, ready to answer. Raises ModelFilesError."""
    card = load_card(folder)
    build = build_detector if card.task == BOXES else build_network
    network = build(card.backbone, len(card.labels), card.options)
    # weights_only: a model file must never be able to run code.
    network.load_state_dict(torch.load(folder / "model.pt", map_location="cpu", weights_only=True))
    return card, network.to(device).eval()


def load_card(folder: Path) -> ModelCard:
    """Read model.json; ModelFilesError if it is of another format."""
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    found = document.pop("format", None)
    if found != FORMAT:
        raise ModelFilesError(f"model.json has format {found!r}; this code reads format {FORMAT}")
    for name in ("labels", "mean", "std"):
        document[name] = tuple(document[name])
    return ModelCard(**document)
