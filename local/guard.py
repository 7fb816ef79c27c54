"""Runs a command that must not outlive the process that started it.

    python guard.py COMMAND [ARGUMENT ...]

The command gets a process group of its own. As soon as this program's standard input closes, which the
kernel does even for a parent that was killed with SIGKILL, the whole group is killed: data loader
workers and other grandchildren included. On Linux the command does not outlive this program either.
SIGTERM is passed on, and the exit status is the command's own (128 + number for a signal, as a shell has
it).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """In the child: have the kernel kill it when this program is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(command: list[str]) -> int:
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=end_with_parent
    )

    def kill_group(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    def watch_parent() -> None:
        sys.stdin.buffer.read()
        kill_group(signal.SIGKILL)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        kill_group(number)

    signal.signal(signal.SIGTERM, pass_on)
    threading.Thread(target=watch_parent, daemon=True).start()
    status = child.wait()
    kill_group(signal.SIGKILL)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.stdout.flush()
    os._exit(main(sys.argv[1:]))
