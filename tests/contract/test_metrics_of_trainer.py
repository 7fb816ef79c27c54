"""What SageMaker looks for in the trainer's output is what the trainer prints."""

import pytest

from loupe.domain.projects import TaskType
from loupe.domain.training.script_training import METRICS
from tasks import TASKS


@pytest.mark.parametrize("task", METRICS)
def test_each_figure_of_a_task_has_its_pattern(task: TaskType) -> None:
    printed = {f"validation:{name}" for name in TASKS[task].figures}
    printed |= {f"test:{name}" for name in TASKS[task].headline}
    assert set(METRICS[task]) == printed
