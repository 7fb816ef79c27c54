"""Starting, stopping and asking after the local cloud of a home folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from local.home import HOST, Home, client_environment, endpoint_url, inherited_environment

_READY_WITHIN = 90.0
_STOPPED_WITHIN = 60.0
_LOG = "local-cloud.log"


class LocalCloudError(Exception):
    """The local cloud could not be started or stopped; the text says why and what to do."""


@dataclass(frozen=True)
class LocalCloudStatus:
    """Whether a local cloud runs in `home`, and how to reach it."""

    home: Path
    running: bool
    port: int | None
    pid: int | None
    endpoint_url: str | None
    log: Path
    environment: dict[str, str]
    """Variables that make boto3, the AWS CLI and SAM talk to it; empty if it does not run."""


_tied: dict[Path, subprocess.Popen[bytes]] = {}
"""Servers that this process started undetached; the open pipes keep them alive."""


def up(home: Path, port: int, *, detach: bool) -> LocalCloudStatus:
    """Start the local cloud of `home` unless it runs already, and return when it answers.

    With `detach` it runs until `down`; without, it ends with this process (see `wait`).
    Raises LocalCloudError if the port is taken, by whom, or if the server does not come up.
    """
    place = Home.at(home)
    place.create()
    place.credentials()
    current = status(home)
    if current.running:
        if current.port != port:
            raise LocalCloudError(
                f"a local cloud already runs in {place.root} on port {current.port}; stop it with "
                "`loupe local down`, or choose another LOUPE_HOME"
            )
        return current
    command = [sys.executable, "-m", "local", "--home", str(place.root), "--port", str(port)]
    with (place.logs / _LOG).open("ab") as log:
        start = log.tell()
        server = subprocess.Popen(
            command if detach else [*command, "--tied"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=inherited_environment(),
            start_new_session=True,
        )
    if not detach:
        _tied[place.root] = server
    _wait_until_ready(place, port, server, start)
    return status(home)


def wait(home: Path) -> None:
    """Block until the local cloud of `home` has ended; Ctrl-C stops it in order."""
    place = Home.at(home)
    try:
        while _is_locked(place):
            time.sleep(0.2)
    except KeyboardInterrupt:
        down(home)


def down(home: Path) -> None:
    """Stop the local cloud of `home` if it runs; returns when all its state is on disk."""
    place = Home.at(home)
    current = status(home)
    if current.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(current.pid, signal.SIGTERM)
    server = _tied.pop(place.root, None)
    deadline = time.monotonic() + _STOPPED_WITHIN
    while _is_locked(place):
        if time.monotonic() > deadline:
            raise LocalCloudError(
                f"the local cloud (process {current.pid}) did not stop; see {place.logs / _LOG}"
            )
        time.sleep(0.05)
    if server is not None:
        server.communicate()


def status(home: Path) -> LocalCloudStatus:
    """What is known of the local cloud of `home`; never raises for one that was never started."""
    place = Home.at(home)
    log = place.logs / _LOG
    written = _lock_content(place)
    if written is None:
        return LocalCloudStatus(
            place.root, running=False, port=None, pid=None, endpoint_url=None, log=log, environment={}
        )
    port = written["port"]
    return LocalCloudStatus(
        place.root,
        running=True,
        port=port,
        pid=written["pid"],
        endpoint_url=endpoint_url(port),
        log=log,
        environment=client_environment(place.credentials(), port),
    )


def free_port() -> int:
    """A port that nobody listens on, for a cloud beside others."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _lock_content(place: Home) -> dict[str, int] | None:
    """What the server wrote into its lock file once it had locked it; None if no server holds the lock.

    The last snapshot of a killed server holds its lock a little longer than the server lived.
    """
    while _is_locked(place):
        text = place.lock_file.read_text(encoding="utf-8")
        if text:
            content: dict[str, int] = json.loads(text)
            return content if _is_alive(content["pid"]) else None
        time.sleep(0.02)
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_locked(place: Home) -> bool:
    """Whether a server holds the folder: the lock ends with its process, however that ended."""
    try:
        with place.lock_file.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wait_until_ready(place: Home, port: int, server: subprocess.Popen[bytes], log_start: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise LocalCloudError(_why_ended(place, port, log_start))
        # Another program may answer at this port: ours does once its lock names it.
        if status(place.root).pid == server.pid and _answers(port):
            return
        time.sleep(0.1)
    server.terminate()
    raise LocalCloudError(
        f"the local cloud did not answer within {_READY_WITHIN:.0f} s; see {place.logs / _LOG}"
    )


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint_url(port)}/_ministack/ready", timeout=5):  # noqa: S310
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _why_ended(place: Home, port: int, log_start: int) -> str:
    with (place.logs / _LOG).open("rb") as log:
        log.seek(log_start)
        said = log.read().decode(errors="replace").strip()
    last = said.splitlines()[-1] if said else "it said nothing"
    if "Address already in use" in last:
        return f"port {port} is taken by another program; choose another one with LOUPE_PORT"
    return f"the local cloud ended while it started: {last} (all of it in {place.logs / _LOG})"
