"""Labels in the formats that other tools read and write.

A module a format, each with `TASKS`, `read` and `write`. Both stream: memory grows with what a format makes
one remember (which image was named before), not with the files. A fault in a row or a file is noted, and
reading goes on, so that all faults are told of at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loupe.domain.interchange import coco, manifest, table, voc, yolo
from loupe.domain.interchange.records import (
    Dataset,
    Labeled,
    NotInFormat,
    OutFile,
    Reading,
)
from loupe.domain.projects import TaskType


@dataclass(frozen=True)
class Format:
    """A file format and the tasks that it can hold."""

    name: str
    tasks: tuple[TaskType, ...]
    read: Callable[[Reading], Iterator[Labeled]]
    write: Callable[[Dataset], Iterator[OutFile]]

    def check(self, task: TaskType) -> None:
        """Raises `NotInFormat` for a task that the format can't hold."""
        if task not in self.tasks:
            others = [name for name, other in FORMATS.items() if task in other.tasks]
            raise NotInFormat(
                f"{self.name} holds labels of {' and '.join(self.tasks)}, but the project's task is {task}: "
                f"use {', '.join(others[:-1])} or {others[-1]}"
            )


FORMATS = {
    name: Format(name, module.TASKS, module.read, module.write)
    for name, module in (
        ("manifest", manifest),
        ("coco", coco),
        ("yolo", yolo),
        ("voc", voc),
        ("csv", table),
    )
}
