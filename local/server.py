"""The server process of the local cloud: the emulator with what it lacks, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TextIO

import uvicorn
import uvloop

from local.autoscaling.service import AutoScaling
from local.autoscaling.targets import ScalableTargets
from local.emulator import Emulator
from local.home import HOST, Home
from local.rekognition.service import Rekognition
from local.sagemaker.service import SageMaker

_SAVE_EVERY = 0.5
_GRACE = 5
_KEEP_ALIVE = 75
_LOCKED_WITHIN = 30.0

logger = logging.getLogger("loupe.local")


class Service(Protocol):
    """What the emulator lacks and this process adds."""

    def register(self) -> None: ...

    def resume(self) -> None: ...

    def stop(self) -> None: ...


def run(home: Home, port: int, *, tied: bool) -> None:
    """Serve until SIGTERM or SIGINT, and also until standard input closes if `tied`.

    Raises BlockingIOError if another server runs in this folder, OSError if the port is taken.
    """
    home.create()
    with home.lock_file.open("a+", encoding="utf-8") as lock:
        _lock(lock)
        lock.truncate(0)
        _check_port(port)
        lock.write(json.dumps({"pid": os.getpid(), "port": port, "started_at": time.time()}))
        lock.flush()
        _empty(home.temporary)
        emulator = Emulator(home, port, home.credentials())
        targets = ScalableTargets(home.autoscaling)
        sagemaker = SageMaker(home.sagemaker, emulator, targets)
        services: list[Service] = [
            sagemaker,
            Rekognition(home.rekognition, emulator),
            AutoScaling(emulator, targets, sagemaker.find_variant),
        ]
        for service in services:
            service.register()
        try:
            uvloop.run(_serve(emulator, services, port, tied=tied))
        finally:
            for service in services:
                service.stop()
            emulator.save()
    # Worker threads of the emulator may still wait for something; nothing that they do counts any more.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _serve(emulator: Emulator, services: Sequence[Service], port: int, *, tied: bool) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if tied:
        threading.Thread(target=_end_with_parent, args=(loop, ending), daemon=True).start()
    chores = asyncio.create_task(_chores(emulator, services, port, ending))
    config = uvicorn.Config(
        emulator.application,
        host=HOST,
        port=port,
        interface="asgi3",
        http="httptools",
        lifespan="on",
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    server = _HttpServer(config)
    serving = asyncio.create_task(server.serve())
    serving.add_done_callback(lambda _: ending.set())
    await ending.wait()
    server.should_exit = True
    await serving
    await chores


class _HttpServer(uvicorn.Server):
    """Leaves signals alone: this process saves its state before it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _chores(emulator: Emulator, services: Sequence[Service], port: int, ending: asyncio.Event) -> None:
    """Resume what ran when the cloud went down, once it answers; then save every now and then."""
    while not ending.is_set() and not await asyncio.to_thread(_answers, port):
        await asyncio.sleep(0.05)
    for service in services:
        service.resume()
    while not ending.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), _SAVE_EVERY)
        if not ending.is_set():
            emulator.evaluate_alarms()
            emulator.save_in_background()


def _lock(file: TextIO) -> None:
    """Waits a little: a killed server's last snapshot may still be on its way to the disk."""
    deadline = time.monotonic() + _LOCKED_WITHIN
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def _end_with_parent(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(ending.set)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
