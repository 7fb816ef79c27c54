"""Child processes: what they print is passed on, and they end when they are told to."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest

from local.sagemaker.children import OutputReader, kill, start_guarded

SAYS = """
import os, sys
print(os.getcwd(), os.environ["NAME"], os.environ.get("AWS_PROFILE"))
print()
print("wrong", file=sys.stderr)
sys.exit(3)
"""


def test_all_that_is_printed_is_passed_on_and_the_last_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    written: list[str] = []
    process = start_guarded([sys.executable, "-u", "-c", SAYS], tmp_path, {"NAME": "value"}, niceness=1)
    reader = OutputReader(process, written.extend, lambda line: [line.upper()])
    assert process.wait(30) == 3
    reader.join(30)
    assert reader.last_lines() == [f"{tmp_path} value None", "", "wrong"]
    assert written == [f"{tmp_path} value None".upper(), " ", "WRONG"]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels leave a child when its guard is killed")
def test_a_child_ends_with_its_guard(tmp_path: Path) -> None:
    code = "import time; print('begun', flush=True); time.sleep(600)"
    process = start_guarded([sys.executable, "-c", code], tmp_path, {})
    begun = threading.Event()
    reader = OutputReader(process, lambda lines: begun.set())
    assert begun.wait(30)
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    reader.join(30)  # the pipe is closed: nobody holds it any more
    assert not reader.is_alive()


def test_a_child_can_be_killed(tmp_path: Path) -> None:
    process = start_guarded([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, {})
    reader = OutputReader(process, lambda lines: None)
    kill(process)
    assert process.wait(30) != 0
    reader.join(30)
    assert reader.last_lines() == []
