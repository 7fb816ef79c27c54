"""Small images and whole dataset versions, made by the tests that need them."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from PIL import Image

from splits import DatasetCard
from tasks import TASKS

LABELS = ("bright", "dark")
CARD = DatasetCard(TASKS["image-classification"], "0003", LABELS)
_hub: Any = transformers  # its classes have no types


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def picture(label: str, number: int, side: int = 32) -> bytes:
    """A noisy grey PNG, bright or dark: what a network learns in a moment."""
    noise = np.random.default_rng(number).integers(-20, 20, (side, side))
    level = 200 if label == "bright" else 60
    return encode(Image.fromarray((noise + level).astype(np.uint8)))


def row(key: str, data: bytes, label: str, labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """A manifest's row, as Loupe writes it."""
    return {
        "source-ref": f"s3://raw/{key}",
        "image-sha256": hashlib.sha256(data).hexdigest(),
        "label": labels.index(label),
        "label-metadata": {"class-name": label, "type": "groundtruth/image-classification"},
    }


def save_tiny_vit(folder: Path) -> None:
    """A pretrained vision transformer of two labels for images of 48x48, as its authors would publish it."""
    configuration = _hub.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=48,
        patch_size=16,
    )
    _hub.ViTForImageClassification(configuration).save_pretrained(folder)


def save_tiny_resnet(folder: Path) -> None:
    """The same of a residual network, for images of any size."""
    configuration = _hub.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    _hub.ResNetForImageClassification(configuration).save_pretrained(folder)


def pack(model: Path, channel: Path) -> Path:
    """The model as the archive that SageMaker makes of it, in a folder of its own."""
    channel.mkdir()
    with tarfile.open(channel / "model.tar.gz", "w:gz") as tar:
        for path in model.iterdir():
            tar.add(path, path.name)
    return channel


@dataclass
class Job:
    """The folders of one training job below `root`, and the environment that names them."""

    root: Path
    labels: Sequence[str] = LABELS
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"train": [], "validation": [], "test": []}
    )
    task: str = "image-classification"

    @property
    def images(self) -> Path:
        return self.root / "input" / "images"

    @property
    def dataset(self) -> Path:
        return self.root / "input" / "dataset"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def failure(self) -> str:
        return (self.root / "output" / "failure").read_text(encoding="utf-8")

    @property
    def evaluation(self) -> dict[str, Any]:
        path = self.root / "output" / "data" / "evaluation.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    @property
    def predictions(self) -> list[dict[str, Any]]:
        path = self.root / "output" / "data" / "predictions.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def add(self, split: str, key: str, data: bytes, label: str) -> None:
        self._write(key, data)
        self.rows[split].append(row(key, data, label, self.labels))

    def add_row(self, split: str, key: str, data: bytes, metadata: dict[str, Any], **attribute: Any) -> None:
        """An image whose label attribute, the one keyword, is given as its manifest has it."""
        self._write(key, data)
        [name] = attribute
        identity = {"source-ref": f"s3://raw/{key}", "image-sha256": hashlib.sha256(data).hexdigest()}
        self.rows[split].append({**identity, **attribute, f"{name}-metadata": metadata})

    def add_pictures(self, **counts: int) -> None:
        """So many images of each label for each split named."""
        for split, count in counts.items():
            for label in LABELS:
                for number in range(count):
                    seed = len(self.rows[split]) + 1000 * list(self.rows).index(split)
                    self.add(split, f"grey/{split} {label}/{number}.png", picture(label, seed), label)

    def environment(self, **channels: Path) -> Mapping[str, str]:
        """Write the manifests and the card; the variables that SageMaker would set."""
        self.dataset.mkdir(parents=True, exist_ok=True)
        self.images.mkdir(parents=True, exist_ok=True)
        card = {"task": self.task, "labels": list(self.labels), "version": "0003"}
        (self.dataset / "dataset.json").write_text(json.dumps(card), encoding="utf-8")
        for split, rows in self.rows.items():
            lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
            (self.dataset / f"{split}.manifest").write_text(lines, encoding="utf-8")
        variables = {
            "SM_CHANNEL_DATASET": self.dataset,
            "SM_CHANNEL_IMAGES": self.images,
            "SM_MODEL_DIR": self.model,
            "SM_OUTPUT_DATA_DIR": self.root / "output" / "data",
        }
        variables |= {f"SM_CHANNEL_{name.upper()}": path for name, path in channels.items()}
        return {name: str(path) for name, path in variables.items()}

    def _write(self, key: str, data: bytes) -> None:
        path = self.images / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
