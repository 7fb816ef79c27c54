"""Snapshots of the emulator's state, taken by a forked copy of the process so that requests never wait.

A fork is a consistent picture of all services at one instant. The copy writes the picture as a new
folder and then points the link `current` at it; whoever is killed at whatever moment leaves either the
old picture or the new one.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger("loupe.local")

_LINK = "current"
_PREFIX = "snapshot-"
_SHORTEST_PAUSE = 2.0
_PAUSE_PER_SECOND_OF_WORK = 3.0
_STUCK_AFTER = 120.0
_NICENESS = 5


class Snapshots:
    """Pictures of the state in `folder`; `write(directory)` puts one picture into an empty directory.

    A file that `write` does not replace is taken over from the picture before: a service that was not
    loaded this time keeps what it had.
    """

    def __init__(self, folder: Path, write: Callable[[Path], None]) -> None:
        self._folder = folder
        self._write = write
        self._child: int | None = None
        self._started = 0.0
        self._pause_until = 0.0

    @property
    def current(self) -> Path | None:
        """The newest complete picture, or None before the first."""
        link = self._folder / _LINK
        return link.resolve() if link.exists() else None

    def take(self) -> None:
        """Take a picture and return when it is on disk."""
        self._reap(wait=True)
        self._fork(niceness=0)
        self._reap(wait=True)

    def is_due(self) -> bool:
        """Whether none is being taken and the last one is long enough ago; to be called regularly."""
        self._reap(wait=False)
        return self._child is None and time.monotonic() >= self._pause_until

    def take_in_background(self) -> None:
        """Start a picture of this very moment; only when one is due."""
        self._fork(niceness=_NICENESS)

    def _fork(self, *, niceness: int) -> None:
        self._started = time.monotonic()
        gc.freeze()
        try:
            child = os.fork()
        finally:
            gc.unfreeze()
        if child == 0:
            self._run_in_child(niceness)
        self._child = child

    def _run_in_child(self, niceness: int) -> None:
        """Never returns: whatever happens, the copy must not go on as a second server."""
        status = 1
        try:
            gc.disable()
            os.nice(niceness)
            self._replace()
            status = 0
        except BaseException:
            logger.exception("The state could not be saved")
        finally:
            os._exit(status)

    def _reap(self, *, wait: bool) -> None:
        if self._child is None:
            return
        deadline = self._started + _STUCK_AFTER
        while True:
            done, status = os.waitpid(self._child, os.WNOHANG)
            if done:
                break
            if time.monotonic() > deadline:
                # A lock that another thread held at the fork stays locked in the copy for good.
                os.kill(self._child, signal.SIGKILL)
            elif not wait:
                return
            time.sleep(0.02)
        if status:
            logger.warning("A snapshot failed (status %s); the one before stays", status)
        work = time.monotonic() - self._started
        self._pause_until = time.monotonic() + max(_SHORTEST_PAUSE, work * _PAUSE_PER_SECOND_OF_WORK)
        self._child = None

    def _replace(self) -> None:
        before = self.current
        number = int(before.name.removeprefix(_PREFIX)) + 1 if before else 1
        target = self._folder / f"{_PREFIX}{number:09d}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        for kept in before.iterdir() if before else ():
            (target / kept.name).hardlink_to(kept)
        self._write(target)
        link = self._folder / f"{_LINK}.new"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(target.name, target_is_directory=True)
        link.replace(self._folder / _LINK)
        for old in self._folder.glob(f"{_PREFIX}*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)
