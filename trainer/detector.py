"""The network that finds objects: a backbone, a neck for its maps at a quarter of the side, two heads.

Anchor-free, after "Objects as Points" (Zhou et al., 2019): a heatmap for each label has its peaks at the
centres of objects; where a peak is, the network also says how large the object is and where in the cell its
centre lies.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from networks import (
    PRETRAINED_PREFIX,
    RESNET_SMALL,
    BackboneError,
    MadeForSides,
    Pretrained,
    SmallResNet,
    load_maps,
    maps_from_options,
)

STRIDE = 4  # pixels of the image a cell of the heatmap
GEOMETRY = (
    4  # outputs beside the heatmaps: logarithms of width and height, x and y of the centre; all in cells
)
MAX_OBJECTS = 100  # an image
_NECK_OF_WIDTH = 3  # channels of a small network's neck, by its width
_NECK = 96  # of a pretrained backbone's
_SMALL_STRIDE_FROM = 320  # side from which the small network's stem shrinks by 4
_RARE = 0.01  # share of cells that a new network takes for centres: most are none
_LARGEST_LOG = 6.0


class Detector(MadeForSides):
    """(N, 3, S, S) to (N, classes + GEOMETRY, S/4, S/4): heatmap logits, then the geometry."""

    def __init__(self, backbone: nn.Module, channels: Sequence[int], classes: int, neck: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.lateral = nn.ModuleList(nn.Conv2d(count, neck, 1) for count in channels)
        self.smooth = _block(neck)
        self.heat = nn.Sequential(_block(neck), nn.Conv2d(neck, classes, 1))
        self.geometry = nn.Sequential(_block(neck), nn.Conv2d(neck, GEOMETRY, 1))
        cast(nn.Conv2d, self.heat[-1]).bias.data.fill_(math.log(_RARE / (1 - _RARE)))  # type: ignore[union-attr]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = cast(Any, self.backbone).maps(images)
        cells = tuple(math.ceil(side / STRIDE) for side in images.shape[-2:])
        # From coarse to fine: what a large neighbourhood shows tells the fine maps what they look at.
        merged = self.lateral[-1](maps[-1])
        for lateral, finer in zip(list(self.lateral)[-2::-1], maps[-2::-1], strict=True):
            merged = lateral(finer) + functional.interpolate(merged, size=finer.shape[-2:], mode="nearest")
        if merged.shape[-2:] != cells:
            merged = functional.interpolate(merged, size=cells, mode="bilinear", align_corners=False)
        features = self.smooth(merged)
        return torch.cat((self.heat(features), self.geometry(features)), dim=1)


class _FineMaps(nn.Module):
    """A small network's maps that are not finer than the heatmap."""

    def __init__(self, network: SmallResNet, skipped: int) -> None:
        super().__init__()
        network.head = cast(nn.Linear, nn.Identity())
        self.network = network
        self._skipped = skipped

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.network.maps(images)[self._skipped :]


def small_detector_options(width: int, image_size: int) -> dict[str, Any]:
    """The options of a detector on the small network, for images of this side."""
    return {
        "width": width,
        "stem_stride": 2 if image_size < _SMALL_STRIDE_FROM else 4,
        "neck": _NECK_OF_WIDTH * width,
    }


def build_detector(backbone: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
    """Build the detector that `options` describe, with fresh weights; BackboneError if that can't be done."""
    if backbone == RESNET_SMALL:
        width, stem_stride = int(options["width"]), int(options["stem_stride"])
        channels = [width * 2**stage for stage in range(4)]
        skipped = 1 if stem_stride < STRIDE else 0
        maps = _FineMaps(SmallResNet(1, width, stem_stride), skipped)
        return Detector(maps, channels[skipped:], classes, int(options["neck"]))
    if backbone.startswith(PRETRAINED_PREFIX):
        pretrained = maps_from_options(backbone, options["configuration"])
        return Detector(pretrained, pretrained.channels, classes, int(options["neck"]))
    raise BackboneError(f"unknown backbone {backbone!r}; known are {RESNET_SMALL} and hf:<id or path>")


def load_pretrained_detector(backbone: str, source: str, classes: int) -> Pretrained[MadeForSides]:
    """A detector on the pretrained weights of `source` (a model id, or a folder); BackboneError."""
    loaded = load_maps(backbone, source)
    return Pretrained(
        network=Detector(loaded.network, loaded.network.channels, classes, _NECK),
        options={"configuration": loaded.options, "neck": _NECK},
        image_size=None,
        mean=loaded.mean,
        std=loaded.std,
    )


def find_objects(outputs: torch.Tensor, temperature: float = 1.0, shift: float = 0.0) -> list[torch.Tensor]:
    """The peaks of a batch's heatmaps, best first, at most MAX_OBJECTS an image.

    Of each image (K, 6): label index, confidence, left, top, right, bottom in pixels of the square.
    """
    count, channels, rows, columns = outputs.shape
    classes = channels - GEOMETRY
    logits = outputs[:, :classes]
    is_peak = functional.max_pool2d(logits, 3, 1, 1) == logits
    ranked = logits.masked_fill(~is_peak, -math.inf).flatten(1)
    best, places = ranked.topk(min(MAX_OBJECTS, ranked.shape[1]), dim=1)
    labels, cells = places // (rows * columns), places % (rows * columns)
    geometry = outputs[:, classes:].flatten(2).gather(2, cells.unsqueeze(1).expand(-1, GEOMETRY, -1))
    corners = to_corners(geometry, cells, columns)
    confidence = torch.sigmoid(best.double() / temperature + shift)
    found = torch.cat(
        (labels.double().unsqueeze(2), confidence.unsqueeze(2), corners.transpose(1, 2).double()), dim=2
    )
    return [found[index][best[index].isfinite()] for index in range(count)]


def to_corners(geometry: torch.Tensor, cells: torch.Tensor, columns: int) -> torch.Tensor:
    """Boxes (N, 4, K) of left, top, right, bottom in pixels, from (N, GEOMETRY, K) at the cells (N, K)."""
    half = geometry[:, :2].clamp(max=_LARGEST_LOG).exp() / 2
    centre = geometry[:, 2:] + torch.stack((cells % columns, cells // columns), dim=1)
    return torch.cat((centre - half, centre + half), dim=1) * STRIDE


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    )
