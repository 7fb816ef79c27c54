"""Handwritten digits (scikit-learn's scans) as a project of the stub, for screenshots and the benchmark."""

import io
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.browser.portal_stub import StubImage, StubProject

SIDE = 256
PAPER = (247, 244, 236)
INK = (38, 44, 66)


def digits_project(tasks: int) -> StubProject:
    """The first `tasks` scans as PNGs of 256 by 256 pixels, ink on paper."""
    scans = load_digits().images[:tasks]
    images = [
        StubImage(f"digits/scan {number:04}.png", _ink_on_paper(scan), SIDE, SIDE)
        for number, scan in enumerate(scans)
    ]
    instructions = (
        "Which digit did the writer mean? Follow the whole stroke, not only its ends.\n"
        "Skip what is crossed out, cut off, or more than one digit."
    )
    return StubProject("digits", list("0123456789"), images, instructions=instructions)


def _ink_on_paper(scan: Any) -> bytes:
    """A scan (8 x 8, 0 to 16) with a margin, scaled up until its strokes have clear edges."""
    padded = np.pad(scan, 2) * (255 / 16)
    large = Image.fromarray(padded.astype("uint8")).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    cover = 1 / (1 + np.exp(-(np.asarray(large, dtype="float64") - 110) / 14))
    mixed = np.array(PAPER) * (1 - cover[..., None]) + np.array(INK) * cover[..., None]
    buffer = io.BytesIO()
    Image.fromarray(mixed.astype("uint8")).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
