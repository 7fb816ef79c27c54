"""What the champion would answer to a task, for its worker to accept or to correct."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from loupe.domain.errors import Conflict, NotFound, ProjectNotFound
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.labeling.annotation import MAX_PARTS, TaskNotFound
from loupe.domain.labeling.starting import JobNotFound
from loupe.domain.serving.answers import Prediction
from loupe.domain.serving.prediction import AskChampion, NoModelYet, what_is_missing
from loupe.ports.labeling import JobCard, KeepsLabelingJobs, KeepsTasks, Task
from loupe.ports.loops import KeepsLoops
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

LEAST_CONFIDENCE = 0.5
"""From which on a box of a built-in model is suggested: that has no threshold of its own, where all others
answer with what they mean to apply."""
_STEPS = 16
"""Sides of boxes are in sixteenths of a pixel: none is lost or won when they are added."""


class SuggestionsOff(NotFound):
    """The project's workers shall answer for themselves."""

    slug, title = "suggestions-off", "There are no suggestions in this project"


class NoSuggestion(Conflict):
    """The model has nothing to say of the image that would be an answer."""

    slug, title = "no-suggestion", "The model suggests nothing"


@dataclass(frozen=True)
class Suggestion:
    """An answer as a worker gives it. `confidences` has a number from 0 to 1 for each of its parts."""

    model_version: str
    value: LabelValue
    confidences: tuple[float, ...]


class SuggestLabels:
    """Asks the champion about the image of a task."""

    def __init__(
        self,
        *,
        projects: KeepsProjects,
        jobs: KeepsLabelingJobs,
        tasks: KeepsTasks,
        loops: KeepsLoops,
        raw_data: StoresObjects,
        ask: AskChampion,
    ) -> None:
        self._projects = projects
        self._jobs = jobs
        self._tasks = tasks
        self._loops = loops
        self._raw_data = raw_data
        self._ask = ask

    def __call__(self, project: str, job: str, task: str) -> Suggestion:
        """Raises `ProjectNotFound`, `SuggestionsOff`, `JobNotFound`, `NoModelYet`, `NoSuggestion`, and what
        asking raises: `ModelNotRunning`, `NotAnImage`, `ModelError`."""
        record = self._projects.project(project)
        if record is None:
            raise ProjectNotFound(f"there is no project {project!r}")
        if record.config is None or not record.config.labeling.suggest:
            raise SuggestionsOff(f"project {project!r} has no labeling.suggest in its project.yaml")
        progress, known = self._tasks.task(project, job, task)
        if progress is None:
            raise JobNotFound(f"project {project!r} has no labeling job {job!r}")
        if known is None:
            raise TaskNotFound(f"job {job} has no task {task!r}")
        card, loop = self._jobs.card(project, job), self._loops.loop(project)
        champion = loop.champion
        if champion is None:
            raise NoModelYet(f"project {project!r} has no model yet: {what_is_missing(record, loop)}")
        if champion.model.task != card.task:
            raise NoSuggestion(f"the model is for {champion.model.task}, and job {job} for {card.task}")
        image = self._raw_data.read(known.key, known.version_id)
        predictions = self._ask(project, champion, image)
        least = LEAST_CONFIDENCE if champion.model.trainer == "builtin" else 0.0
        return _suggestion(champion.version, card, known, predictions, least)


def _suggestion(
    version: str, card: JobCard, task: Task, predictions: Sequence[Prediction], least: float
) -> Suggestion:
    """Of what the model predicts, best first, that which can be an answer to the task. What has no threshold
    applies from the confidence `least` on."""
    known = [each for each in predictions if each["label"] in card.labels]
    match card.task:
        case "image-classification":
            if not known:
                raise NoSuggestion(f"the model finds none of the labels of job {card.job} in the image")
            best = max(known, key=itemgetter("confidence"))
            return Suggestion(version, OneLabel(best["label"]), (best["confidence"],))
        case "multi-label-classification":
            by_label = {each["label"]: each["confidence"] for each in known if _applies(each, least)}
            return Suggestion(version, SeveralLabels(tuple(by_label)), tuple(by_label.values()))
        case "bounding-box":
            found = [(each["confidence"], _box(each, task)) for each in known if _applies(each, least)]
            seen = [(confidence, box) for confidence, box in found if box is not None][:MAX_PARTS]
            return Suggestion(version, Boxes(tuple(box for _, box in seen)), tuple(c for c, _ in seen))


def _applies(prediction: Prediction, least: float) -> bool:
    return bool(prediction["confidence"] >= prediction.get("threshold", least))


def _box(prediction: Prediction, task: Task) -> Box | None:
    """Cut off at the image's edges: an answer may not reach beyond them, and a model's box may. None for one
    of which nothing is left."""
    box = prediction["box"]
    left, right = _sides(box["left"], box["width"], task.width)
    top, bottom = _sides(box["top"], box["height"], task.height)
    if right <= left or bottom <= top:
        return None
    return Box(prediction["label"], left, top, right - left, bottom - top)


def _sides(start: float, length: float, end: int) -> tuple[float, float]:
    return max(0.0, round(start * _STEPS) / _STEPS), min(
        float(end), round((start + length) * _STEPS) / _STEPS
    )
