"""Random changes that leave a label true, on whole batches, so that they run on the GPU as well."""

import math

import torch
from torch.nn import functional

_ROTATION = math.radians(12)
_SHEAR = math.radians(8)
_ZOOM = 0.15
_SHIFT = 0.10  # of the image's side
_BRIGHTNESS = 0.15
_CONTRAST = 0.25


class Augmentation:
    """Turns, shears, zooms, shifts and relights each image of a batch by its own random amounts.

    `strength` scales all of them (0: nothing changes, 1: the amounts above). Mirroring is off unless asked
    for by `flip` ("horizontal", "both"), since a mirrored digit, letter or left-hand part is another thing.
    """

    def __init__(self, strength: float, flip: str, generator: torch.Generator) -> None:
        self._strength = strength
        self._flip = flip
        self._generator = generator

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Change a float batch (N, 3, H, W) with values 0 to 1 into another of the same shape and range."""
        if self._strength == 0 and self._flip == "none":
            return pixels
        grid = functional.affine_grid(
            self._transforms(len(pixels)).to(pixels.device), list(pixels.shape), align_corners=False
        )
        moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        contrast = (1 + self._amounts(len(pixels), _CONTRAST)).view(-1, 1, 1, 1).to(pixels.device)
        brightness = self._amounts(len(pixels), _BRIGHTNESS).view(-1, 1, 1, 1).to(pixels.device)
        middle = moved.mean(dim=(1, 2, 3), keepdim=True)
        return ((moved - middle) * contrast + middle + brightness).clamp(0, 1).contiguous()

    def _transforms(self, count: int) -> torch.Tensor:
        """Affine matrices (count, 2, 3): where in the source each output position looks."""
        angle, shear = self._amounts(count, _ROTATION), self._amounts(count, _SHEAR)
        scale_x, scale_y = 1 + self._amounts(count, _ZOOM), 1 + self._amounts(count, _ZOOM)
        # Positions run from -1 to 1, so that a side is 2 long.
        shift_x, shift_y = self._amounts(count, 2 * _SHIFT), self._amounts(count, 2 * _SHIFT)
        mirror_x = self._signs(count, self._flip in ("horizontal", "both"))
        mirror_y = self._signs(count, self._flip == "both")
        rows = (
            torch.stack((angle.cos() * scale_x * mirror_x, -(angle + shear).sin() * scale_y, shift_x), dim=1),
            torch.stack((angle.sin() * scale_x, (angle + shear).cos() * scale_y * mirror_y, shift_y), dim=1),
        )
        return torch.stack(rows, dim=1)

    def _amounts(self, count: int, largest: float) -> torch.Tensor:
        return (torch.rand(count, generator=self._generator) * 2 - 1) * largest * self._strength

    def _signs(self, count: int, mirrored: bool) -> torch.Tensor:
        if not mirrored:
            return torch.ones(count)
        return torch.randint(0, 2, (count,), generator=self._generator) * 2.0 - 1.0
