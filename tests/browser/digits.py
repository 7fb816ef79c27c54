"""Handwritten digits (scikit-learn's scans) as a project of the stub, for screenshots and the benchmark."""

import io
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.browser.portal_stub import StubImage, StubProject

SIDE = 256
SHEET = (960, 640)
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


def scenes_project(tasks: int) -> tuple[StubProject, list[list[dict[str, Any]]]]:
    """Sheets of paper with several of the scans on each, to be marked with boxes; and those boxes."""
    scans, digits = load_digits(return_X_y=True)
    draw = np.random.default_rng(8)
    images, truth = [], []
    for number in range(tasks):
        sheet = np.zeros(SHEET[::-1])
        boxes = []
        for column in range(4):
            for row in range(2):
                if draw.random() < 0.25:
                    continue
                at = int(draw.integers(len(scans)))
                side = int(draw.integers(130, 220))
                cover = _cover(scans[at].reshape(8, 8), side, margin=0)
                left = column * 240 + int(draw.integers(10, 230 - side + 10))
                top = row * 320 + int(draw.integers(20, 300 - side))
                sheet[top : top + side, left : left + side] = cover
                inked = np.argwhere(cover > 0.5)
                (y, x), (bottom, right) = inked.min(0), inked.max(0) + 1
                boxes.append(
                    {
                        "label": str(digits[at]),
                        "left": left + int(x),
                        "top": top + int(y),
                        "width": int(right - x),
                        "height": int(bottom - y),
                    }
                )
        images.append(StubImage(f"sheets/sheet {number:04}.png", _png(sheet), *SHEET))
        truth.append(boxes)
    instructions = "Draw a box around each digit, as tight as its strokes.\nDigits that touch get a box each."
    labels = list("0123456789")
    return StubProject("sheets", labels, images, instructions=instructions, task="bounding-box"), truth


def _ink_on_paper(scan: Any) -> bytes:
    return _png(_cover(scan, SIDE, margin=2))


def _cover(scan: Any, side: int, margin: int) -> Any:
    """How much ink is where, 0 to 1: a scan (8 x 8, 0 to 16), scaled up to strokes with clear edges."""
    padded = np.pad(scan, margin) * (255 / 16)
    large = Image.fromarray(padded.astype("uint8")).resize((side, side), Image.Resampling.BICUBIC)
    return 1 / (1 + np.exp(-(np.asarray(large, dtype="float64") - 110) / 14))


def _png(cover: Any) -> bytes:
    mixed = np.array(PAPER) * (1 - cover[..., None]) + np.array(INK) * cover[..., None]
    buffer = io.BytesIO()
    Image.fromarray(mixed.astype("uint8")).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
