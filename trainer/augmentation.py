"""Random changes that leave a label true, on whole batches, so that they run on the GPU as well."""

import math

import torch
from torch.nn import functional

_ROTATION = math.radians(12)
_SHEAR = math.radians(8)
_ZOOM = 0.15
_SHIFT = 0.10  # of the image's side
_BOX_ZOOM = 0.3
_STRETCH = 0.08
_BOX_SHIFT = 0.12  # of the image's side
_SEEN = 0.4  # share of a box that must be in the picture to be looked for
_BRIGHTNESS = 0.15
_CONTRAST = 0.25


class _Chance:
    """Random amounts, one an image of a batch, and the changes that all augmentations share."""

    def __init__(self, strength: float, flip: str, generator: torch.Generator) -> None:
        self._strength = strength
        self._flip = flip
        self._generator = generator

    @property
    def _changes_nothing(self) -> bool:
        return self._strength == 0 and self._flip == "none"

    def _move(self, pixels: torch.Tensor, transforms: torch.Tensor) -> torch.Tensor:
        """Transforms (N, 2, 3) say where in the source each output position looks."""
        grid = functional.affine_grid(transforms.to(pixels.device), list(pixels.shape), align_corners=False)
        return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    def _relight(self, pixels: torch.Tensor) -> torch.Tensor:
        contrast = (1 + self._amounts(len(pixels), _CONTRAST)).view(-1, 1, 1, 1).to(pixels.device)
        brightness = self._amounts(len(pixels), _BRIGHTNESS).view(-1, 1, 1, 1).to(pixels.device)
        middle = pixels.mean(dim=(1, 2, 3), keepdim=True)
        return ((pixels - middle) * contrast + middle + brightness).clamp(0, 1).contiguous()

    def _mirrors(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """-1 for the images to be mirrored, in x and in y; else 1."""
        mirror_x = self._signs(count, self._flip in ("horizontal", "both"))
        return mirror_x, self._signs(count, self._flip == "both")

    def _amounts(self, count: int, largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=self._generator) * 2 - 1) * largest * self._strength

    def _signs(self, count: int, mirrored: bool) -> torch.Tensor:
        if not mirrored:
            return torch.ones(count)
        return torch.randint(0, 2, (count,), generator=self._generator) * 2.0 - 1.0


class Augmentation(_Chance):
    """Turns, shears, zooms, shifts and relights each image of a batch by its own random amounts.

    `strength` scales all of them (0: nothing changes, 1: the amounts above). Mirroring is off unless asked
    for by `flip` ("horizontal", "both"), since a mirrored digit, letter or left-hand part is another thing.
    """

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Change a float batch (N, 3, H, W) with values 0 to 1 into another of the same shape and range."""
        if self._changes_nothing:
            return pixels
        return self._relight(self._move(pixels, self._transforms(len(pixels))))

    def _transforms(self, count: int) -> torch.Tensor:
        """Affine matrices (count, 2, 3): where in the source each output position looks."""
        angle, shear = self._amounts(count, _ROTATION), self._amounts(count, _SHEAR)
        scale_x, scale_y = 1 + self._amounts(count, _ZOOM), 1 + self._amounts(count, _ZOOM)
        # Positions run from -1 to 1, so that a side is 2 long.
        shift_x, shift_y = self._amounts(count, 2 * _SHIFT), self._amounts(count, 2 * _SHIFT)
        mirror_x, mirror_y = self._mirrors(count)
        rows = (
            torch.stack((angle.cos() * scale_x * mirror_x, -(angle + shear).sin() * scale_y, shift_x), dim=1),
            torch.stack((angle.sin() * scale_x, (angle + shear).cos() * scale_y * mirror_y, shift_y), dim=1),
        )
        return torch.stack(rows, dim=1)


class BoxAugmentation(_Chance):
    """Zooms, stretches, shifts and relights each image of a batch, and its boxes with it.

    Nothing is turned or sheared: the upright box around a turned box would be larger than the object in it.
    Mirroring is off unless asked for.
    """

    def __call__(self, pixels: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Change a float batch (N, 3, S, S) and its boxes (N, M, 5), of label, left, top, right, bottom.

        A box of which too little stays in the picture gets the label -1; others are cut off at its edges.
        """
        if self._changes_nothing:
            return pixels, boxes
        count, side = len(pixels), pixels.shape[-1]
        zoom = 1 + self._amounts(count, _BOX_ZOOM)
        stretch = 1 + self._amounts(count, _STRETCH)
        shift = torch.stack([self._amounts(count, 2 * _BOX_SHIFT) for _ in "xy"], dim=1)
        scale = torch.stack((zoom * stretch, zoom / stretch), dim=1) * torch.stack(
            self._mirrors(count), dim=1
        )
        moved = self._move(pixels, torch.cat((torch.diag_embed(scale), shift.unsqueeze(2)), dim=2))
        return self._relight(moved), _follow(boxes, scale.to(boxes.device), shift.to(boxes.device), side)


def _follow(boxes: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, side: int) -> torch.Tensor:
    """Boxes after a picture whose output position p shows the source's position p * scale + shift."""
    half = side / 2
    scale, shift = scale.unsqueeze(1), shift.unsqueeze(1)
    corners = [
        ((boxes[..., place] / half - 1 - shift) / scale + 1) * half for place in (slice(1, 3), slice(3, 5))
    ]
    low, high = torch.minimum(*corners), torch.maximum(*corners)
    seen_low, seen_high = low.clamp(0, side), high.clamp(0, side)
    seen = (seen_high - seen_low).prod(dim=2) / (high - low).prod(dim=2).clamp(min=1e-6)
    labels = torch.where(seen >= _SEEN, boxes[..., 0], torch.full_like(boxes[..., 0], -1.0))
    return torch.cat((labels.unsqueeze(2), seen_low, seen_high), dim=2)
