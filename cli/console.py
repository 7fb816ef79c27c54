"""What the command prints: results on stdout, everything else on stderr."""

import json
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PROGRESS_PER_SECOND = 5


WIDTH_WITHOUT_TERMINAL = 200


def out() -> Console:
    """Where results go. Made anew for each use, so that it follows a redirected stdout."""
    return _console(stderr=False)


def err() -> Console:
    """Where progress, hints and remarks go."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    # Without markup, since names of files and labels may hold square brackets.
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def progress_bar(console: Console) -> Progress:
    """A bar with counts, the time that has passed and a remark (`task.fields["remark"]`)."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[remark]}", style="dim", markup=False),
        console=console,
        refresh_per_second=PROGRESS_PER_SECOND,
        transient=True,
        # Without a terminal there is nobody to watch a bar, and logs stay readable.
        disable=not console.is_terminal,
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
