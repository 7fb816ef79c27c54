"""`loupe upload`: a folder of images into a project, in parallel, and again from where it stopped."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path, PurePosixPath

import click

from cli.console import err, json_option, out, print_json, progress_bar
from cli.errors import CommandFault
from cli.session import PROJECT, Session, pass_session
from cli.stack import PART_BYTES, Stack, StoredObject

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MAX_KEY_BYTES = 1024
NAMED_AT_MOST = 20


@dataclass(frozen=True)
class Image:
    """A file to be stored under `key`; `size` in bytes."""

    path: Path
    key: str
    size: int


@dataclass(frozen=True)
class LeftOut:
    """A file that is not sent, and why."""

    path: str
    reason: str


class Outcome(Enum):
    STORED = "stored"
    PRESENT = "present"
    FAILED = "failed"


@dataclass
class UploadReport:
    """What came of an upload. `seconds` is the time of the transfer alone."""

    stored: int = 0
    present: int = 0
    bytes_stored: int = 0
    seconds: float = 0.0
    stopped: bool = False
    failed: list[LeftOut] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.stored + self.present + len(self.failed)

    @property
    def rate(self) -> str:
        """Speed so far, for people."""
        seconds = max(self.seconds, 1e-3)
        return f"{self.stored / seconds:.0f} images/s, {self.bytes_stored / 1e6 / seconds:.1f} MB/s"


def find_images(directory: Path, key_prefix: str) -> tuple[list[Image], list[LeftOut]]:
    """All images below `directory`, in the order of their keys, and the files that are none.

    `key_prefix` ends in a slash. Links to folders are not followed, so that a circle can't hold it.
    """
    images: list[Image] = []
    left_out: list[LeftOut] = []
    for entry in files_below(directory):
        path = Path(entry.path)
        key = key_prefix + PurePosixPath(path.relative_to(directory)).as_posix()
        reason = _why_not(path, key)
        if reason is None:
            images.append(Image(path, key, entry.stat().st_size))
        else:
            left_out.append(LeftOut(os.fsencode(path).decode(errors="replace"), reason))
    images.sort(key=lambda image: image.key)
    left_out.sort(key=lambda each: each.path)
    return images, left_out


def files_below(directory: Path) -> Iterator["os.DirEntry[str]"]:
    """All files below a folder. Links to folders are not followed."""
    folders = [os.fspath(directory)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    yield entry


def _why_not(path: Path, key: str) -> str | None:
    if path.suffix.lower() not in SUFFIXES:
        return "not .jpg, .jpeg or .png"
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "its name is not valid UTF-8"
    if len(encoded) > MAX_KEY_BYTES:
        return f"its key has more than {MAX_KEY_BYTES} bytes"
    return None


class Uploader:
    """Stores images that the bucket lacks, with `parallel` threads."""

    def __init__(self, stack: Stack, present: Iterable[StoredObject], parallel: int) -> None:
        self._stack = stack
        self._present = {stored.key: stored for stored in present}
        self._parallel = parallel
        self._lock = threading.Lock()
        self._etags_are_digests: bool | None = None

    def run(self, images: list[Image], on_progress: Callable[[UploadReport], None]) -> UploadReport:
        """Transfers all images; `on_progress` is called as they end, in the calling thread.

        A file that can't be read is a failure of that file; a stack that refuses or is gone ends the
        upload with its fault. After Ctrl-C, transfers under way end properly, and the report is `stopped`.
        """
        report = UploadReport()
        started = time.monotonic()
        remaining = iter(images)
        with ThreadPoolExecutor(self._parallel) as pool:
            # A short queue keeps memory flat however many images there are.
            waiting = {pool.submit(self._transfer, image) for image in islice(remaining, 4 * self._parallel)}
            try:
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._count(report, *future.result())
                    report.seconds = time.monotonic() - started
                    on_progress(report)
                    waiting |= {pool.submit(self._transfer, image) for image in islice(remaining, len(done))}
            except KeyboardInterrupt:
                report.stopped = True
            finally:
                pool.shutdown(cancel_futures=True)
        report.seconds = time.monotonic() - started
        return report

    @staticmethod
    def _count(report: UploadReport, image: Image, outcome: Outcome, reason: str) -> None:
        if outcome is Outcome.STORED:
            report.stored += 1
            report.bytes_stored += image.size
        elif outcome is Outcome.PRESENT:
            report.present += 1
        else:
            report.failed.append(LeftOut(str(image.path), reason))

    def _transfer(self, image: Image) -> tuple[Image, Outcome, str]:
        try:
            content = image.path.read_bytes() if image.size < PART_BYTES else None
            if self._is_present(image, content):
                return image, Outcome.PRESENT, ""
            self._stack.put_image(image.key, image.path, content)
        except OSError as error:
            return image, Outcome.FAILED, error.strerror or str(error)
        return image, Outcome.STORED, ""

    def _is_present(self, image: Image, content: bytes | None) -> bool:
        stored = self._present.get(image.key)
        if stored is None or stored.size != image.size:
            return False
        if stored.etag == etag_of(image.path, content):
            return True
        return not self._etag_tells(stored.key)

    def _etag_tells(self, key: str) -> bool:
        """Whether an ETag that differs means other bytes. All objects of a bucket are encrypted alike."""
        with self._lock:
            if self._etags_are_digests is None:
                self._etags_are_digests = self._stack.etags_are_digests(key)
            return self._etags_are_digests


def etag_of(path: Path, content: bytes | None) -> str:
    """The ETag that S3 gives a file: MD5 of its bytes, or of its parts' MD5s with their number."""
    if content is not None:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    digests = []
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            digests.append(hashlib.md5(part, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def store_images(session: Session, prefix: str, images: list[Image], parallel: int) -> UploadReport:
    """Uploads with a progress bar on stderr. All keys begin with `prefix`."""
    uploader = Uploader(session.stack, session.stack.list_objects(prefix), parallel)
    with progress_bar(err()) as bar:
        task = bar.add_task("Uploading", total=len(images), remark="")

        def show(report: UploadReport) -> None:
            bar.update(task, completed=report.done, remark=report.rate)

        return uploader.run(images, show)


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prefix", default="", help="Folder within the project to put the images in.")
@click.option(
    "--parallel", type=click.IntRange(1, 32), default=8, show_default=True, help="Transfers at the same time."
)
@json_option
@pass_session
def upload(session: Session, name: str, directory: Path, prefix: str, parallel: int, as_json: bool) -> None:
    """Store all images below DIR in the project NAME.

    Sends .jpg, .jpeg and .png files; others are named and left out. What is stored already, with the same
    bytes, is not sent again: stop it with Ctrl-C whenever you like, and run the same command to go on.

    \b
    Examples:
      loupe upload parts ./photos
      loupe upload parts ./monday --prefix 2026-11-23
    """
    session.require_project(name)
    folder = prefix.strip("/")
    key_prefix = f"{name}/{folder}/" if folder else f"{name}/"
    images, left_out = find_images(directory, key_prefix)
    report = store_images(session, key_prefix, images, parallel)
    if as_json:
        print_json(_as_json(name, report, left_out))
    else:
        _print(name, report, left_out)
    if report.stopped:
        raise CommandFault(
            f"Stopped. {report.stored + report.present} of {len(images)} images are stored.",
            "The same command goes on where this one stopped.",
        )
    if report.failed:
        raise CommandFault(
            f"{len(report.failed)} files could not be sent.", "The same command tries them again."
        )


def _as_json(name: str, report: UploadReport, left_out: list[LeftOut]) -> dict[str, object]:
    return {
        "project": name,
        "stored": report.stored,
        "present": report.present,
        "bytes": report.bytes_stored,
        "seconds": round(report.seconds, 3),
        "left_out": [{"file": each.path, "reason": each.reason} for each in left_out],
        "failed": [{"file": each.path, "reason": each.reason} for each in report.failed],
        "stopped": report.stopped,
    }


def _print(name: str, report: UploadReport, left_out: list[LeftOut]) -> None:
    out().print(
        f"{report.stored} images stored in {name} ({report.seconds:.1f} s, {report.rate}), "
        f"{report.present} were there already, {len(left_out)} files left out."
    )
    _name_files("Left out", left_out)
    _name_files("Failed", report.failed)


def _name_files(title: str, files: list[LeftOut]) -> None:
    for each in files[:NAMED_AT_MOST]:
        err().print(f"  {title}: {each.path}: {each.reason}")
    if len(files) > NAMED_AT_MOST:
        err().print(f"  ... and {len(files) - NAMED_AT_MOST} more (--json names all)")
