"""What one run of the command shares between its parts: how to reach the stack, once somebody asks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.errors import ApiProblem, CommandFault, NotRegisteredYet
from cli.stack import ProjectStatus, Stack
from loupe.domain.errors import BadRequest
from loupe.domain.projects import check_project_name

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class WorkerCredentials:
    """A worker's user name and password in the labeling portal."""

    name: str
    password: str


@dataclass(frozen=True)
class Connection:
    """A stack, and the worker that came with it (in a local cloud)."""

    stack: Stack
    seeded_worker: WorkerCredentials | None = None


@dataclass
class Session:
    """`connect` finds the stack (see cli.target); `home` is the local cloud's folder, `port` its port."""

    connect: Callable[[], Connection]
    home: Path
    port: int
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def _connection(self) -> Connection:
        return self.connect()

    @property
    def stack(self) -> Stack:
        return self._connection.stack

    def worker(self, name: str | None, password: str | None) -> WorkerCredentials:
        """Who signs in to the portal: who was named, else the local cloud's own worker.

        Asks for the password of a worker whom it doesn't know.
        """
        seeded = self._connection.seeded_worker
        if seeded is not None and password is None and name in {None, seeded.name}:
            return seeded
        if name is None:
            raise click.UsageError("Say who signs in: --worker W (`loupe worker create` makes one).")
        return WorkerCredentials(
            name, password or click.prompt(f"Password of {name}", hide_input=True, err=True)
        )

    def project_status(self, project: str) -> ProjectStatus:
        """The status of a project; a fault that names similar projects if there is none of that name."""
        try:
            return self.stack.status(project)
        except ApiProblem as problem:
            if problem.status != 404:
                raise
        raise self.unknown_project(project)

    def unknown_project(self, project: str) -> CommandFault:
        known = self.stack.projects()
        if project in known:
            return NotRegisteredYet(
                f"The stack has not taken note of the project {project!r} yet.",
                "Its project.yaml was stored a moment ago: try again (or run `loupe reconcile`).",
            )
        close = get_close_matches(project, known, n=3, cutoff=0.5)
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        elif known:
            hint = f"There are: {', '.join(known[:20])}."
        else:
            hint = "There is none yet. `loupe project create` makes one."
        return CommandFault(f"There is no project {project!r}.", hint)

    def require_project(self, project: str) -> None:
        """Raises a fault unless the project has a project.yaml."""
        if self.stack.read_configuration(project) is None:
            raise self.unknown_project(project)


pass_session = click.make_pass_decorator(Session)


def sign_in_options(command: F) -> F:
    """Options of a command that talks to the portal as a worker."""
    password = click.option(
        "--password", envvar="LOUPE_PASSWORD", help="Their password; asked for if it is not known."
    )
    who = click.option(
        "--worker", envvar="LOUPE_WORKER", help="Who signs in.  [default: the local cloud's worker]"
    )
    return who(password(command))


class ProjectName(click.ParamType):
    """A project's name; a wrong one is wrong use."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_project_name(value)
        except BadRequest as error:
            self.fail(error.detail, param, ctx)


PROJECT = ProjectName()
