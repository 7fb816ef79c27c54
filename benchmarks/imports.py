"""How long each function's handler takes to import, and how large the layer is that all of them share.

The layer is the one that `sam build` made for the local cloud. Handlers are imported from it in fresh
interpreters that write no bytecode: Lambda's file system is read-only, so each cold start there compiles
what was not compiled before.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from benchmarks._cloud import deployed

_FUNCTIONS = Path(__file__).parents[1] / "functions"
_TIMES = 3
_IMPORT = "import time; w, p = time.perf_counter(), time.process_time(); import {name}.handler; "
_REPORT = "print(time.perf_counter() - w, time.process_time() - p)"


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to compare with."""
    layer = deployed().build / "CoreLayer"
    files = [path for path in sorted(layer.rglob("*")) if path.is_file()]
    with tempfile.TemporaryFile() as target:
        with ZipFile(target, "w", ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(layer))
        zipped = target.tell()
    unzipped = sum(path.stat().st_size for path in files)
    yield (
        "the layer, as built for this machine",
        f"{zipped / 1e6:.1f} MB zipped, {unzipped / 1e6:.1f} MB unzipped, {len(files):,} files",
        "Lambda's limit: 250 MB unzipped, functions included",
    )
    for handler in sorted(_FUNCTIONS.glob("*/handler.py")):
        name = handler.parent.name
        wall, processor = _import_milliseconds(name, layer)
        yield f"import of {name}, fresh interpreter", f"{wall:.0f} ms, processor {processor:.0f} ms", ""


def _import_milliseconds(name: str, layer: Path) -> tuple[float, float]:
    """Time on the clock and on the processor, medians of some runs. boto3 is this environment's, as on Lambda
    it is the runtime's."""
    path = os.pathsep.join((str(_FUNCTIONS), str(layer / "python")))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _IMPORT.format(name=name) + _REPORT]
    runs = [
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(_TIMES)
    ]
    wall, processor = (statistics.median(map(float, each)) * 1000 for each in zip(*runs, strict=True))
    return wall, processor
