"""The networks that can be trained: a small residual one from scratch, or a pretrained backbone.

A network is rebuilt for serving from `backbone` and `options`, both plain JSON, and its state dict: no
weights and no configuration are ever fetched at that point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import torch
from torch import nn

RESNET_SMALL = "resnet-small"
PRETRAINED_PREFIX = "hf:"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_HALVING_STAGES = 5


class BackboneError(Exception):
    """The backbone named cannot be built; the message says why and what to do."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(images) + self.shortcut(images))


class SmallResNet(nn.Module):
    """A ten-layer residual network: (N, 3, S, S) to (N, classes) logits, for any side S from 32.

    `width` is the number of channels of the first stage (doubled at each of the three further ones);
    `stem_stride` shrinks the image before them: 2 for small images, 4 for large ones.
    """

    def __init__(self, classes: int, width: int, stem_stride: int) -> None:
        super().__init__()
        stem: list[nn.Module] = [
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        if stem_stride == 4:
            stem.append(nn.MaxPool2d(3, 2, 1))
        self.stem = nn.Sequential(*stem)
        self.stages = nn.Sequential(
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            ResidualBlock(4 * width, 8 * width, 2),
        )
        self.head = nn.Linear(8 * width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stages(self.stem(images))
        return cast(torch.Tensor, self.head(features.mean(dim=(2, 3))))

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What each stage makes of the images, each (N, channels, side, side), fine to coarse."""
        features = self.stem(images)
        found = []
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        return found


class MadeForSides(nn.Module):
    """A network that may not take images of every side (a transformer is made for one)."""

    def require_side(self, side: int) -> None:
        """BackboneError if the network does not take images of this side."""
        try:
            with torch.inference_mode():
                self.eval()(torch.zeros(1, 3, side, side))
        except (ValueError, RuntimeError) as error:
            raise BackboneError(
                f"the backbone does not take images of {side}x{side} pixels: {error}"
            ) from error


class PretrainedClassifier(MadeForSides):
    """A Hugging Face image classifier that answers with its logits, (N, 3, S, S) to (N, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.model(pixel_values=images).logits)


class PretrainedMaps(nn.Module):
    """A Hugging Face backbone that answers with the maps of its stages; `channels` has a number for each."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.channels: list[int] = list(cast(Any, model).channels)

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Each (N, channels, side, side), fine to coarse."""
        return list(self.model(pixel_values=images).feature_maps)


_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class Pretrained(Generic[_Network]):
    """A network with its weights, and how its authors prepared images; `image_size` None: they don't say."""

    network: _Network
    options: dict[str, Any]
    image_size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


def small_resnet_options(width: int, image_size: int) -> dict[str, Any]:
    """The options of SmallResNet for images of this side."""
    return {"width": width, "stem_stride": 2 if image_size < 128 else 4}


def build_network(backbone: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
    """Build the network that `options` describe, with fresh weights; BackboneError if that can't be done."""
    if backbone == RESNET_SMALL:
        return SmallResNet(classes, int(options["width"]), int(options["stem_stride"]))
    if backbone.startswith(PRETRAINED_PREFIX):
        transformers = _transformers(backbone)
        configuration = transformers.AutoConfig.for_model(**options)
        return PretrainedClassifier(transformers.AutoModelForImageClassification.from_config(configuration))
    raise BackboneError(f"unknown backbone {backbone!r}; known are {RESNET_SMALL} and hf:<id or path>")


def load_pretrained(backbone: str, source: str, classes: int) -> Pretrained[MadeForSides]:
    """Load the weights of `backbone` from `source` (a model id, or a folder) and give them a new head.

    BackboneError when `transformers` is not installed, when the weights cannot be had from here, or when the
    model is not one that classifies images.
    """
    transformers = _transformers(backbone)
    try:
        model = transformers.AutoModelForImageClassification.from_pretrained(
            source, num_labels=classes, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise _unloadable(backbone, source, error) from error
    return _prepared(PretrainedClassifier(model), model, _preparation(transformers, source))


def maps_from_options(backbone: str, options: Mapping[str, Any]) -> PretrainedMaps:
    """The backbone that `load_maps` told the options of, with fresh weights; BackboneError."""
    transformers = _transformers(backbone)
    configuration = transformers.AutoConfig.for_model(**options)
    return PretrainedMaps(transformers.AutoBackbone.from_config(configuration))


def load_maps(backbone: str, source: str) -> Pretrained[PretrainedMaps]:
    """Load the weights of `backbone` without its head: what its stages see is asked for.

    BackboneError as `load_pretrained`, and for a model that has no maps to give (the plain ViT has not).
    """
    transformers = _transformers(backbone)
    try:
        configuration = transformers.AutoConfig.from_pretrained(source)
        stages = getattr(configuration, "stage_names", ("stem", "all"))
        # A few stages halve the image one after another; many are a transformer's layers, all alike.
        wanted = range(1, len(stages)) if len(stages) <= _HALVING_STAGES + 1 else [len(stages) - 1]
        model = transformers.AutoBackbone.from_pretrained(source, out_indices=list(wanted))
    except (OSError, ValueError) as error:
        raise _unloadable(backbone, source, error) from error
    return _prepared(PretrainedMaps(model), model, _preparation(transformers, source))


def _unloadable(backbone: str, source: str, error: Exception) -> BackboneError:
    return BackboneError(f"the weights of backbone {backbone!r} cannot be loaded from {source!r}: {error}")


def _prepared(network: _Network, model: Any, preparation: Mapping[str, Any]) -> Pretrained[_Network]:
    declared = model.config.to_dict()
    return Pretrained(
        network=network,
        options=declared,
        image_size=_side(preparation.get("size", declared.get("image_size"))),
        mean=_three(preparation.get("image_mean"), _IMAGENET_MEAN),
        std=_three(preparation.get("image_std"), _IMAGENET_STD),
    )


def _transformers(backbone: str) -> Any:
    """The package `transformers`, imported only for the backbones that need it."""
    try:
        import transformers
    except ImportError as error:
        raise BackboneError(
            f"backbone {backbone!r} needs the package transformers, which is not installed here: "
            "use a Hugging Face container image, or install trainer/requirements-hf.txt"
        ) from error
    package: Any = transformers  # its helpers have no types
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    return package


def _preparation(transformers: Any, source: str) -> dict[str, Any]:
    """What the model's own preprocessor_config.json says, or nothing where it has none."""
    mixin = transformers.image_processing_base.ImageProcessingMixin
    try:
        settings, _ = mixin.get_image_processor_dict(source)
    except OSError:
        return {}
    return cast(dict[str, Any], settings)


def _side(size: object) -> int | None:
    """The side in pixels, from the forms that configurations use: 224, [224, 224], {"height": 224}, ..."""
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    if isinstance(size, list | tuple) and size:
        size = size[0]
    return size if isinstance(size, int) else None


def _three(values: Sequence[float] | None, default: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(value) for value in values) if values and len(values) == 3 else default
