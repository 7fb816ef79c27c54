"""`loupe trace`: the way of an image, a job, a model or a prediction through a project, and its log lines."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.table import Table

from cli.console import json_option, out, print_json
from cli.errors import CommandFault, domain_errors_as_faults
from cli.session import PROJECT, Session, pass_session
from cli.stack import Json, KnownImage, Stack
from cli.status import moment
from loupe.domain.correlation import id_of_image, id_of_turn
from loupe.domain.datasets.galleries import Galleries
from loupe.domain.datasets.labels import label_lines
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import ObjectMissing
from loupe.domain.json_lines import read_line
from loupe.domain.labeling.job_ends import read_end
from loupe.domain.labeling.starting import read_card
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.serving.releases import champions, states
from loupe.domain.workspace import Workspace

MOST_VERSIONS = 10
"""So many dataset versions that have a job are shown: the first and the newest."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PREDICTION = re.compile(r"(\d{8}t\d{6})-[0-9a-f]{16}")


@dataclass(frozen=True)
class Step:
    """A row of the table. `when` is a time in ISO 8601, `correlation_id` what log lines about it have."""

    what: str
    when: str | None
    told: str
    correlation_id: str | None


@dataclass(frozen=True)
class Way:
    """What was asked about, and its steps. `ids` are those to look for in logs: of its own way, not of later
    turns that it had a part in."""

    kind: str
    ids: list[str]
    steps: list[Step]


class Tracer:
    """Reads a project's ways from what S3 and the index hold."""

    def __init__(self, stack: Stack, project: str) -> None:
        self._stack = stack
        self._project = project
        self._store = stack.workspace
        self._names = Workspace(project)
        self._galleries = Galleries(self._store, stack.raw_data_bucket)

    def trace(self, what: str) -> Way:
        """Raises `CommandFault` for what the project does not know."""
        if found := _PREDICTION.fullmatch(what):
            at = datetime.strptime(found[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)
            return self._prediction(what, at)
        if what in self._store.list_folders(self._names.models):
            return _way("model", [], list(self._model(what)))
        if self._is_job(what):
            return self._job(what)
        return self._image(what)

    # What may be asked about ------------------------------------------------------------------------

    def _prediction(self, prediction: str, at: datetime) -> Way:
        """Predictions are in logs alone; their time says which model was the champion."""
        # A second's fraction is not part of the id.
        until = at + timedelta(seconds=1)
        earlier = [each for each in champions(self._project, self._store) if each.promoted_at < until]
        if not earlier:
            raise CommandFault(f"{self._project} had no model yet at {at.isoformat()}.")
        champion = earlier[-1]
        told = f"model {champion.version} was the champion; the log line says which one answered"
        step = Step("prediction", at.isoformat(), told, champion.correlation_id)
        return _way("prediction", [prediction], [step, *self._model(champion.version)])

    def _model(self, version: str) -> Iterator[Step]:
        model = next(each for each in states(self._project, self._store) if each["version"] == version)
        if model["correlation_id"]:
            yield from self._steps_of_job(model["correlation_id"])
        with suppress(ObjectMissing):
            yield _version_step(self._card(model["dataset_version"]))
        yield _model_step(model)
        yield from self._champion()

    def _job(self, job: str) -> Way:
        steps = list(self._steps_of_job(job))
        return self._with_versions("job", [job], steps, self._versions_of(job), None)

    def _image(self, what: str) -> Way:
        sha256, image = self._known(what)
        registered = f"{image['key']}: {image['state']}"
        if image["reason"]:
            registered += f", {image['reason']}"
        steps = [Step("registered", image["registered_at"], registered, id_of_image(sha256))]
        job = image["job"]
        if job is None:
            return _way("image", [id_of_image(sha256)], steps)
        steps += self._steps_of_job(job, sha256)
        ids = [id_of_image(sha256), job]
        return self._with_versions("image", ids, steps, self._versions_of(job), sha256)

    def _known(self, what: str) -> tuple[str, KnownImage]:
        """An image's SHA-256, and what the index knows of it."""
        if _SHA256.fullmatch(what):
            images = self._stack.known_images(self._project, [], [what])["images"]
            if what in images:
                return what, images[what]
        else:
            keys = [what] if what.startswith((f"{self._project}/", "s3://")) else []
            keys.append(f"{self._project}/{what}")
            known = self._stack.known_images(self._project, keys, [])
            for found in (known["objects"][key] for key in keys if key in known["objects"]):
                if "sha256" in found:
                    return found["sha256"], known["images"][found["sha256"]]
                raise CommandFault(f"{what} was rejected: {found.get('reason')}, {found.get('detail')}.")
        raise CommandFault(
            f"{self._project} knows nothing of {what!r}.",
            "Name an image (its key, its path in the project, or its SHA-256), a labeling job, a model's "
            "version or a prediction's id. An image that was just uploaded may not be registered yet.",
        )

    # Parts ------------------------------------------------------------------------------------------

    def _is_job(self, what: str) -> bool:
        return what.startswith(f"{self._project}-") and (
            self._store.exists(self._names.input_manifest(what))
            or self._store.exists(self._names.labels(what))
        )

    def _steps_of_job(self, job: str, sha256: str | None = None) -> Iterator[Step]:
        """Of the whole job, or of one image in it."""
        with suppress(ObjectMissing):
            card = read_card(self._store, self._project, job)
            images = sum(1 for _ in self._store.lines(self._names.input_manifest(job)))
            yield Step(
                "job cut", card.created_at.isoformat(), f"{_count(images, 'image')}, {card.provider}", job
            )
        image = f"{sha256}/" if sha256 else ""
        answers = list(self._store.list(f"{self._names.annotations(job)}{image}"))
        if answers:
            newest = max(answer.last_modified for answer in answers).isoformat()
            yield Step("answers", newest, f"{_count(len(answers), 'answer')} of workers", job)
        end = read_end(self._store, self._project, job)
        manifest = next(iter(self._store.list(self._names.output_manifest(job))), None)
        if end:
            yield Step(f"job {end.state}", end.at.isoformat(), end.reason or "", job)
        elif manifest:
            yield Step("job finished", manifest.last_modified.isoformat(), "", job)
        with suppress(ObjectMissing):
            yield self._labels_of(job, sha256)

    def _labels_of(self, job: str, sha256: str | None) -> Step:
        """What the job's label file says of the image, or how many labels it has."""
        labeled, others = 0, 0
        for text in label_lines(self._project, [job], self._store):
            if sha256 is None:
                is_label = '"failure_reason"' not in text and '"withdrawn"' not in text
                labeled, others = labeled + is_label, others + (not is_label)
            elif sha256 in text:
                line = read_line(text)
                return Step("label", line.get("labeled_at"), _label(line), job)
        told = _count(labeled, "label") + (f", {others} without" if others else "")
        return Step("labels", None, told if sha256 is None else "none of this image", job)

    def _versions_of(self, job: str) -> list[DatasetCard]:
        """Dataset versions that cover the job, oldest first."""
        return [card for card in reversed(self._galleries.cards(self._project)) if job in card.jobs]

    def _card(self, version: str) -> DatasetCard:
        return DatasetCard.from_json(self._store.read(self._names.dataset_card(version)))

    def _with_versions(
        self, kind: str, ids: list[str], steps: list[Step], cards: list[DatasetCard], sha256: str | None
    ) -> Way:
        shown = cards if len(cards) <= MOST_VERSIONS else [cards[0], *cards[1 - MOST_VERSIONS :]]
        splits = {card.version: self._split(card.version, sha256) if sha256 else None for card in shown}
        steps += [_version_step(card, splits[card.version]) for card in shown]
        models = states(self._project, self._store)
        steps += [_model_step(each) for each in models if each["dataset_version"] in splits]
        steps += self._champion()
        turn = (cards[0].correlation_id or id_of_turn(cards[0].jobs)) if cards else None
        return _way(kind, [*ids, *([turn] if turn else [])], steps)

    def _split(self, version: str, sha256: str) -> str:
        index = self._galleries.open(self._project, version).index
        position = index.find(bytes.fromhex(sha256))
        return "left out" if position is None else SPLITS[index.split[position]]

    def _champion(self) -> Iterator[Step]:
        for champion in champions(self._project, self._store)[-1:]:
            told = f"model {champion.version} answers now"
            yield Step("champion", champion.promoted_at.isoformat(), told, champion.correlation_id)


def _way(kind: str, ids: list[str], steps: list[Step]) -> Way:
    """Without ids of its own, those of the steps but the champion's, which may be another model."""
    own = ids or [step.correlation_id or "" for step in steps if step.what != "champion"]
    return Way(kind, list(dict.fromkeys(filter(None, own))), steps)


def _version_step(card: DatasetCard, split: str | None = None) -> Step:
    images = ", ".join(f"{card.images[each]} {each}" for each in SPLITS)
    told = f"version {card.version}: {split or images}"
    return Step("dataset", card.created_at.isoformat(), told, card.correlation_id)


def _model_step(model: Json) -> Step:
    told = f"{model['version']}: {str(model['state']).replace('_', ' ')}"
    if model["reason"]:
        told += f", {model['reason']}"
    return Step("model", model["started_at"], told, model["correlation_id"])


def _label(line: Json) -> str:
    if "withdrawn" in line:
        return "withdrawn"
    if "failure_reason" in line:
        return f"none: {line['failure_reason']}"
    said = next((line[name] for name in LABEL_ATTRIBUTES.values() if name in line), None)
    by = f", by {', '.join(line['workers'])}" if line.get("workers") else ""
    match said:
        case [{"label": _}, *_]:
            return f"boxes: {', '.join(box['label'] for box in said)}{by}"
        case list():
            return (", ".join(map(str, said)) or "none applies") + by
    return f"{said}{by}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def insights_query(ids: list[str]) -> str:
    """Every line of these correlation ids, and of a prediction by its own."""
    predictions = [each for each in ids if _PREDICTION.fullmatch(each)]
    others = [each for each in ids if each not in predictions]
    tests = [f"correlation_id in {json.dumps(others)}"] if others else []
    tests += [f'prediction_id = "{each}"' for each in predictions]
    return (
        "fields @timestamp, service, message, coalesce(outcome, reason, state) as what, @message"
        f" | filter {' or '.join(tests)} | sort @timestamp asc | limit 1000"
    )


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("what")
@click.option("--logs", is_flag=True, help="Show the log lines of it, too.")
@json_option
@pass_session
def trace(session: Session, name: str, what: str, logs: bool, as_json: bool) -> None:
    """Show the way of WHAT through the project NAME, and by which ids its log lines are found.

    WHAT is an image (its key, its path in the project, or its SHA-256), a labeling job, a model's version, or
    the id of a prediction.

    \b
    Examples:
      loupe trace parts photos/left.png
      loupe trace parts 0003
      loupe trace parts 20261121t101500-8f3a1c2b4d5e6f70 --logs
    """
    session.require_project(name)
    with domain_errors_as_faults():
        way = Tracer(session.stack, name).trace(what)
    lines = list(session.stack.log_lines(way.ids, _began(way))) if logs else []
    query = insights_query(way.ids)
    if as_json:
        found: dict[str, Any] = {"project": name, "what": what, "query": query, **asdict(way)}
        print_json(found | ({"lines": lines} if logs else {}))
        return
    table = Table("", "when", "", "correlation id", box=None, pad_edge=False)
    for step in way.steps:
        table.add_row(step.what, _when(step.when), step.told, step.correlation_id or "")
    out().print(table)
    out().print(f"\nIn CloudWatch Logs Insights, over the stack's log groups:\n  {query}")
    if logs:
        out().print()
        for line in lines:
            out().print(_told(line))
    else:
        out().print("`--logs` shows these lines here, of a local cloud, too.")


def _began(way: Way) -> datetime:
    times = [moment(step.when) for step in way.steps if step.when]
    return min(times, default=datetime.now(UTC)) - timedelta(minutes=1)


def _when(text: str | None) -> str:
    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else ""


_NOT_TOLD = {
    "timestamp",
    "level",
    "service",
    "message",
    "location",
    "cold_start",
    "correlation_id",
    "project",
}
"""Members of a line that its row has elsewhere, or that say nothing of the project."""


def _told(line: Json) -> str:
    rest = {
        name: value
        for name, value in line.items()
        if name not in _NOT_TOLD and not name.startswith(("function_", "xray_", "exception"))
    }
    members = " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in rest.items())
    return f"{line['timestamp']} {line['service']}: {line['message']} {members}".rstrip()
