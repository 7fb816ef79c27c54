"""Upload and registration of one-megapixel JPEGs through the local cloud, and what of it is the emulator's.

Images a second count from the start of the upload until the last image is registered. Beside it stands
what the emulator does alone: the same files stored in a bucket that nobody listens to, and read again.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks._cloud import Cloud, deployed
from benchmarks._processes import Meter
from benchmarks.ingest import photo
from cli.upload import Uploader, find_images
from loupe.adapters.projects_index import IndexedProjects

_IMAGES = 2_000
_DIFFERENT = 100
_THREADS = 8
_PROJECT = "photos"
_PLAIN_BUCKET = "benchmark-plain"
_REGISTERED_WITHIN = 300.0
_BETWEEN_LOOKS = 0.2


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach or compare with."""
    cloud = deployed()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_photos(folder)
        stored, read = _emulator_alone(cloud, folder)
        yield from _through_the_stack(cloud, folder)
    what = f"the same {_IMAGES:,} objects in a bucket that nobody listens to"
    yield f"{what}, put_object alone", f"{stored:.0f} images/s", "the emulator's own"
    yield f"{what}, get_object alone", f"{read:.0f} images/s", "the emulator's own"


def _write_photos(folder: Path) -> None:
    """Files that all differ: bytes behind a JPEG's end change nothing but what the file hashes to."""
    photos = [photo(seed) for seed in range(_DIFFERENT)]
    for number in range(_IMAGES):
        content = photos[number % _DIFFERENT] + number.to_bytes(4)
        (folder / f"{number:05d}.jpg").write_bytes(content)


def _through_the_stack(cloud: Cloud, folder: Path) -> Iterator[tuple[str, str, str]]:
    cloud.configure(_PROJECT, ["ok", "scratch"], batch_size=100_000)
    stack, projects = cloud.session.stack, IndexedProjects(cloud.table)
    images, _ = find_images(folder, f"{_PROJECT}/")
    command, meter = time.process_time(), Meter(cloud.pid)
    begun = time.perf_counter()
    report = Uploader(stack, stack.list_objects(f"{_PROJECT}/"), _THREADS).run(images, lambda _: None)
    assert report.stored == _IMAGES
    uploaded = time.perf_counter() - begun
    while (pending := projects.counts(_PROJECT).pending) < _IMAGES:
        assert time.perf_counter() - begun < _REGISTERED_WITHIN, f"only {pending} images were registered"
        time.sleep(_BETWEEN_LOOKS)
    registered = time.perf_counter() - begun
    yield (
        f"{_IMAGES:,} JPEGs of 1 megapixel uploaded and registered, local cloud",
        f"{_IMAGES / registered:.0f} images/s ({registered:.1f} s, upload {uploaded:.1f} s of it)",
        "150 images/s; Label Studio 1.23.2: 283, without a look at them",
    )
    share = meter.read()
    upload = (time.process_time() - command) * 1000 / _IMAGES
    yield (
        "processor time of that for each image",
        f"{share.of(_IMAGES)}, loupe upload {upload:.1f} ms",
        "13.3 ms together are 150 a second on 2 cores",
    )


def _emulator_alone(cloud: Cloud, folder: Path) -> tuple[float, float]:
    """Objects stored, and read, a second."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=_PLAIN_BUCKET)

    def put(path: Path) -> None:
        s3.put_object(Bucket=_PLAIN_BUCKET, Key=path.name, Body=path.read_bytes(), ContentType="image/jpeg")

    def get(path: Path) -> None:
        s3.get_object(Bucket=_PLAIN_BUCKET, Key=path.name)["Body"].read()

    def delete(path: Path) -> None:
        s3.delete_object(Bucket=_PLAIN_BUCKET, Key=path.name)

    paths = sorted(folder.iterdir())
    rates = _a_second(put, paths), _a_second(get, paths)
    _a_second(delete, paths)
    return rates


def _a_second(do: Callable[[Path], None], paths: list[Path]) -> float:
    begun = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(do, paths))
    return len(paths) / (time.perf_counter() - begun)
