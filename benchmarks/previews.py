"""Small copies of photos of 40 megapixels, as the pages ask for them, each made in a process of its own.

What is measured is processor time, and how much the process grows while it makes one. Storage is left out.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from loupe.domain.images.inspection import decoded, dimensions
from loupe.domain.images.previews import LONGEST_SIDES, made_smaller, preview_dimensions
from loupe.domain.workspace import PreviewSize

_WIDTH, _HEIGHT = 7304, 5478
_FILES: dict[str, dict[str, Any]] = {
    "photo.jpg": {"quality": 88},
    "progressive.jpg": {"quality": 88, "progressive": True},
}


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach or compare with."""
    with tempfile.TemporaryDirectory() as folder:
        photo = _photo()
        for name, options in _FILES.items():
            file = Path(folder, name)
            photo.save(file, **options)
            for size in get_args(PreviewSize):
                command = [sys.executable, "-m", "benchmarks.previews", str(file), size]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                yield (
                    f"{size} of {name}, 40 megapixels ({file.stat().st_size / 1e6:.1f} MB)",
                    f"{found['seconds']:.2f} s, {found['megabytes']:.0f} MB; has {found['kilobytes']:.0f} kB",
                    "well under 1 s" if name == "photo.jpg" else "",
                )


def make(file: Path, size: PreviewSize) -> dict[str, float]:
    """Processor seconds for one, by how many MB the process grew, and the kB of what came of it."""
    content = file.read_bytes()
    wanted = preview_dimensions(*dimensions(content), LONGEST_SIDES[size])
    before, begun = _peak_megabytes(), time.process_time()
    preview = decoded(lambda: made_smaller(content, *wanted))
    return {
        "seconds": time.process_time() - begun,
        "megabytes": _peak_megabytes() - before,
        "kilobytes": len(preview) / 1000,
    }


def _photo() -> Image.Image:
    """Shapes, and the noise of a sensor, repeated in tiles."""
    random = np.random.default_rng(0)
    shapes = random.integers(0, 256, (_HEIGHT // 24, _WIDTH // 24, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(shapes).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
    tile = random.normal(0, 4, (512, 512, 3)).round().astype(np.int16)
    noise = np.tile(tile, (_HEIGHT // 512 + 1, _WIDTH // 512 + 1, 1))[:_HEIGHT, :_WIDTH]
    return Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8))


def _peak_megabytes() -> float:
    """Of this process alone: `getrusage` tells what its parent had, if that was more."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    print(json.dumps(make(Path(sys.argv[1]), "thumbnail" if sys.argv[2] == "thumbnail" else "preview")))
