"""`python -m local --home FOLDER --port PORT`: the server process; `local.launcher` starts it."""

from __future__ import annotations

import argparse
from pathlib import Path

from local.home import Home
from local.server import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder that keeps the state")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tied", action="store_true", help="end when standard input closes")
    arguments = parser.parse_args()
    run(Home.at(arguments.home), arguments.port, tied=arguments.tied)


if __name__ == "__main__":
    main()
