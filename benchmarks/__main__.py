"""Runs the benchmarks whose names are given, or all, and prints their rows as one table."""

import argparse
import importlib
import pkgutil

from rich.console import Console
from rich.table import Table

import benchmarks


def available() -> list[str]:
    """Modules of this package that have rows to give."""
    return sorted(
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name[0] != "_"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *available()], help="default: all")
    names = parser.parse_args().names or available()
    console = Console()
    table = Table("benchmark", "what", "measured", "to reach or compare with")
    try:
        for name in names:
            console.print(f"running {name} …", style="dim")
            for what, measured, compared in importlib.import_module(f"benchmarks.{name}").run():
                console.print(f"  {what}: {measured}", style="dim", markup=False, highlight=False)
                table.add_row(name, what, measured, compared)
    finally:
        # What was measured is worth showing, whatever came after it.
        console.print(table)


if __name__ == "__main__":
    main()
