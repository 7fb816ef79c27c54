"""What people are told by mail: what happened, its numbers, and what they can do next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loupe.domain.events import (
    ApprovalWanted,
    Event,
    LabelingJobFailed,
    ModelPromoted,
    ModelRejected,
    ReleaseFailed,
    TrainingFailed,
    read_event,
)
from loupe.ports.messages import Notice, TellsPeople

DEFAULT_STACK = "loupe"
"""The stack that the command takes unless it is told another one."""
MAX_SUBJECT = 100
"""Characters of a subject; Amazon SNS takes printable ASCII only."""


@dataclass(frozen=True)
class NotifyPeople:
    """Turns an event into a notice and sends it. `portal_url` is the address of the portal's page.

    An event that comes twice is told twice: EventBridge repeats itself rarely, and a notice too many does
    less harm than one that is missing.
    """

    people: TellsPeople
    stack: str
    portal_url: str

    def __call__(self, detail_type: str, detail: Mapping[str, Any]) -> Notice | None:
        """The notice that was sent; None for an event that people are not told of.

        Raises `UnknownEvent`, `StoreUnavailable`.
        """
        notice = self.notice_of(read_event(detail_type, detail))
        if notice is not None:
            self.people.tell(notice)
        return notice

    def notice_of(self, event: Event) -> Notice | None:
        """What is told of an event; None if nothing is."""
        project = event.project
        match event:
            case ModelPromoted():
                return self._notice(
                    f"{project}: model {event.version} is in service",
                    f"Model {event.version} of project {project} answers from now on.",
                    event.reason,
                    [("Its numbers", self._command(f"status {project}"))],
                    self._page(project, "models"),
                )
            case ModelRejected():
                return self._notice(
                    f"{project}: model {event.version} was not promoted",
                    f"Model {event.version} of project {project} was not promoted. What answers did not "
                    "change.",
                    event.reason,
                    [("Its numbers", self._command(f"status {project}"))],
                    self._page(project, "models"),
                )
            case ApprovalWanted():
                return self._notice(
                    f"{project}: model {event.version} waits for approval",
                    f"Model {event.version} of project {project} is better by the project's rule. What "
                    "answers does not change until somebody approves it.",
                    event.reason,
                    [
                        ("Its numbers", self._command(f"model show {project} {event.version}")),
                        ("Release it", self._command(f"model approve {project} {event.version}")),
                        ("Let it go", self._command(f"model reject {project} {event.version}")),
                    ],
                    self._page(project, "models"),
                )
            case ReleaseFailed():
                return self._notice(
                    f"{project}: model {event.version} could not be released",
                    f"Model {event.version} of project {project} was to answer, and did not come into "
                    "service. What answers did not change.",
                    event.reason,
                    [
                        ("What there is", self._command(f"model list {project}")),
                        *self._again(event),
                    ],
                    self._page(project, "models"),
                )
            case TrainingFailed():
                model = f"model {event.version}" if event.version else "a model"
                return self._notice(
                    f"{project}: {model} could not be trained or released",
                    f"The turn of project {project} for {model} failed. What answers did not change. The "
                    "next finished labeling job tries again by itself.",
                    event.reason,
                    [("What happened", self._command(f"status {project}"))],
                    self._page(project, "jobs"),
                )
            case LabelingJobFailed():
                return self._notice(
                    f"{project}: a labeling job failed",
                    f"Labeling job {event.job} of project {project} ended without labels. Its images wait "
                    "for the next job.",
                    event.reason,
                    [
                        ("What waits", self._command(f"status {project}")),
                        ("Look again at once", self._command("reconcile")),
                    ],
                    self._page(project, "jobs"),
                )
        return None

    def _again(self, event: ReleaseFailed) -> list[tuple[str, str]]:
        """An approval holds only for the model that was compared, a rollback always."""
        rollback = self._command(f"model rollback {event.project} {event.version}")
        if event.kind != "approval":
            return [("Try again", rollback)]
        approve = self._command(f"model approve {event.project} {event.version}")
        return [("Try again", approve), ("Whatever answers now", rollback)]

    def _notice(
        self, subject: str, what: str, reason: str, commands: list[tuple[str, str]], page: str
    ) -> Notice:
        steps = [*commands, ("In the browser", page)]
        width = max(len(name) for name, _ in steps)
        lines = [f"  {name + ':':<{width + 2}}{step}" for name, step in steps]
        body = "\n".join([what, "", reason, "", *lines, ""])
        return Notice(_as_subject(f"Loupe: {subject}"), body)

    def _command(self, words: str) -> str:
        return f"loupe {words}" + ("" if self.stack == DEFAULT_STACK else f" --stack {self.stack}")

    def _page(self, project: str, section: str) -> str:
        return f"{self.portal_url}#/projects/{project}/{section}"


def _as_subject(text: str) -> str:
    printable = "".join(character if " " <= character <= "~" else "?" for character in text)
    return printable if len(printable) <= MAX_SUBJECT else f"{printable[: MAX_SUBJECT - 3]}..."
