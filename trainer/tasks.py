"""The task types that this trainer knows."""

from collections.abc import Mapping

from classification import Classification
from detection import Detection
from multilabel import MultiLabel
from task import Task

_ALL: tuple[Task, ...] = (Classification(), MultiLabel(), Detection())

TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}
