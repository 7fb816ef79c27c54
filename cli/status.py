"""`loupe status`: what a project has, in words."""

from collections.abc import Iterator
from datetime import datetime

import click
from rich.table import Table

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault, NotRegisteredYet
from cli.session import PROJECT, Session, pass_session
from cli.stack import Hosting, JobStatus, ProjectStatus

JOBS_SHOWN = 5
MEASURES = {
    "image-classification": "accuracy",
    "multi-label-classification": "macro F1",
    "bounding-box": "mAP@0.5",
}
"""What a model's score is, by task."""
REJECTED_SHOWN = 1000


def moment(text: str) -> datetime:
    """A time of the API (RFC 3339, UTC) as an aware datetime."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def waits_for_training(status: ProjectStatus) -> JobStatus | None:
    """The newest finished job that a training will take in: none while something else is waited for."""
    training = status["last_training"]
    if status["waiting_for"]:
        return None
    for job in status["jobs"]:
        if job["state"] != "finished" or job["finished_at"] is None:
            continue
        if training is None or moment(job["finished_at"]) > moment(training["started_at"]):
            return job
    return None


def is_training(status: ProjectStatus) -> bool:
    """Whether the stack works on the next model."""
    training = status["last_training"]
    return status["training_since"] is not None or (training is not None and training["status"] == "running")


def unfinished_job(status: ProjectStatus) -> JobStatus | None:
    """The job that is prepared, worked on or concluded now."""
    return next((job for job in status["jobs"] if job["finished_at"] is None), None)


def describe_training(status: ProjectStatus) -> str:
    """The last training in words; a failure says what heals it, one of a release which model answers."""
    training = status["last_training"]
    if training is None:
        return "none yet: the first finished labeling job starts one"
    version, reason = training["version"], training["reason"]
    failed = training.get("failed_attempts", [])
    match training["status"]:
        case "running":
            since = f"in training since {_when(training['started_at'])}"
            return f"{since}, attempt {len(failed) + 1}; {'; '.join(failed)}" if failed else since
        case "promoted":
            told = f"version {version} was promoted" + (f": {reason}" if reason else "")
            return f"{told} (attempt {len(failed) + 1}; {'; '.join(failed)})" if failed else told
        case "awaiting_approval":
            return f"version {version} waits for approval: {reason}"
        case "rejected":
            return f"version {version} was not promoted, so the champion stays: {reason}"
        case "release_failed":
            return f"the release of version {version} failed, and {_still_answers(status)}: {reason}"
        case _:
            return f"last training failed: {reason}; the next finished job tries again"


def _still_answers(status: ProjectStatus) -> str:
    champion = status["champion"]
    return f"version {champion['version']} still answers" if champion else "none is in service yet"


def describe_champion(status: ProjectStatus) -> str:
    """The model in service in words."""
    champion = status["champion"]
    if champion is None:
        return "none yet"
    measure = (
        "macro F1" if champion["trainer"] == "rekognition" else MEASURES.get(status["task"] or "", "score")
    )
    score = f"{champion['score']:.1%} on the test set ({measure})"
    if champion["interval"]:
        low, high = champion["interval"]
        score += f", {low:.1%} to {high:.1%} on other such sets"
    if champion["says_little"]:
        score += f"; {champion['test_images'] or 'its'} test images are too few for it to say much"
    trainer = "" if champion["trainer"] == "script" else f", trained by {champion['trainer']}"
    return f"version {champion['version']}, {score}{trainer}, since {_when(champion['promoted_at'])}"


def describe_hosting(hosting: Hosting) -> str:
    """A model that costs by the hour in words."""
    told = f"{hosting['state']} since {_when(hosting['since'])}"
    if hosting["state"] not in ("starting", "running"):
        return told
    units, per_hour, so_far = hosting["units"], hosting["cost_per_hour"], hosting["cost_so_far"]
    unit = "inference unit" if hosting["kind"] == "rekognition" else "instance"
    told += f", {units} {unit}{'' if units == 1 else 's'}"
    if per_hour is None or so_far is None:
        told += ", paid for by the hour"
    else:
        told += f": at least ${per_hour:.2f} an hour, ${so_far:.2f} so far"
    stops = hosting["stops_at"]
    return f"{told}; stops {_when(stops)} unless somebody calls it" if stops else told


def describe_job(job: JobStatus) -> str:
    """A job in words."""
    skipped = f", {job['skipped']} skipped" if job["skipped"] else ""
    reason = f": {job['reason']}" if job["reason"] else ""
    provider = "" if job["provider"] == "portal" else f" ({job['provider']})"
    if job["finished_at"] is None:
        done = f"{job['answered']} of {job['tasks']} answered"
        return f"{job['job']}{provider}: {job['state']}, {done}{skipped}"
    ended = f"{job['job']}{provider}: {job['state']} {_when(job['finished_at'])}"
    if job["state"] == "failed":
        return f"{ended}{reason}"
    return f"{ended}, {job['tasks']} tasks{skipped}{reason}"


def _when(text: str) -> str:
    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@click.argument("name", type=PROJECT, required=False)
@click.option("--rejected", is_flag=True, help="List the rejected images of NAME, and why each one was.")
@json_option
@pass_session
def status(session: Session, name: str | None, rejected: bool, as_json: bool) -> None:
    """Show how the project NAME stands; without NAME, all projects.

    \b
    Examples:
      loupe status
      loupe status parts
      loupe status parts --rejected
    """
    if rejected:
        if name is None:
            raise click.UsageError("--rejected needs the NAME of a project.")
        _rejected(session, name, as_json)
        return
    if name is None:
        _overview(session, as_json)
        return
    found = session.project_status(name)
    if as_json:
        print_json(found)
    else:
        out().print(_detail(found))


def _overview(session: Session, as_json: bool) -> None:
    names = session.stack.projects()
    found = []
    for name in names:
        try:
            found.append(session.project_status(name))
        except NotRegisteredYet as fault:
            err().print(f"{fault.message} {fault.hint}", style="yellow")
    if as_json:
        print_json({"projects": found})
        return
    if not names:
        out().print("No projects yet. `loupe project create` makes one.")
        return
    table = Table("project", box=None, pad_edge=False)
    for heading in ("pending", "labeling", "labeled", "rejected"):
        table.add_column(heading, justify="right")
    table.add_column("champion")
    table.add_column("training")
    for each in found:
        images = each["images"]
        counts = (images["pending"], images["labeling"], images["labeled"], images["rejected"])
        told = each["config_error"] or describe_training(each)
        table.add_row(each["project"], *map(str, counts), describe_champion(each), told)
    out().print(table)


def _detail(found: ProjectStatus) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for word, text in _lines(found):
        table.add_row(word, text)
    return table


def _lines(found: ProjectStatus) -> Iterator[tuple[str, str]]:
    yield "project", found["project"]
    if found["config_error"]:
        yield "problem", f"project.yaml: {found['config_error']}. Images wait until it is put right."
    else:
        yield "task", f"{found['task']}: {', '.join(found['labels'])}"
    images = found["images"]
    yield (
        "images",
        f"{images['pending']} pending, {images['labeling']} in labeling, {images['labeled']} labeled, "
        f"{images['rejected']} rejected",
    )
    if images["rejected"]:
        yield "", f"`loupe status {found['project']} --rejected` says why"
    for index, job in enumerate(found["jobs"][:JOBS_SHOWN]):
        yield "" if index else "jobs", describe_job(job)
    yield "dataset", f"version {found['dataset_version']}" if found["dataset_version"] else "none yet"
    yield "champion", describe_champion(found)
    if found["hosting"]:
        yield "hosting", describe_hosting(found["hosting"])
        if is_training(found):
            yield "", "of the champion alone: a candidate costs as much from when it is started to test it"
    yield "training", describe_training(found)
    if found["promotion_paused"]:
        pause = found["promotion_paused"]
        yield (
            "promotion",
            f"stopped by {pause['by']} {_when(pause['since'])} ({pause['reason']}): better models wait for "
            f"approval until `loupe model resume {found['project']}`",
        )
    if found["waiting_for"]:
        yield "", f"the next one waits: {found['waiting_for']}"


def _rejected(session: Session, name: str, as_json: bool) -> None:
    session.project_status(name)
    images = session.stack.rejected(name)
    if as_json:
        for image in images:
            print_json(image)
        return
    table = Table("image", "reason", "", box=None, pad_edge=False)
    for number, image in enumerate(images):
        if number == REJECTED_SHOWN:
            table.add_row("...", f"more than {REJECTED_SHOWN}", "--json lists all")
            break
        table.add_row(image["key"], image["reason"], image["detail"])
    if not table.row_count:
        out().print(f"No image of {name} was rejected.")
        return
    out().print(table)


def failure_of(found: ProjectStatus) -> CommandFault | None:
    """What keeps the project from going on, if anything does: its configuration, or its last training."""
    if found["config_error"]:
        return CommandFault(
            f"The project.yaml of {found['project']} is not valid: {found['config_error']}",
            "Put it right (`loupe project create ... --yes`); its images wait.",
        )
    job = found["jobs"][0] if found["jobs"] else None
    if job is not None and job["state"] == "failed" and found["images"]["pending"]:
        return CommandFault(
            f"The labeling job {job['job']} of {found['project']} failed: {job['reason']}",
            "Its images wait. Loupe tries again after a while, and at once when project.yaml is put right.",
        )
    training = found["last_training"]
    goes_on = is_training(found) or waits_for_training(found) is not None
    if training is not None and training["status"] == "failed" and not goes_on:
        return CommandFault(
            f"The last training of {found['project']} failed: {training['reason']}",
            "The next finished job tries again.",
        )
    if training is not None and training["status"] == "release_failed" and not goes_on:
        return CommandFault(
            f"The release of model {training['version']} of {found['project']} failed, and "
            f"{_still_answers(found)}: {training['reason']}",
            f"`loupe model list {found['project']}` shows all models.",
        )
    return None
