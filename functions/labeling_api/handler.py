"""/portal/api/...: signed-in workers lease tasks and answer them."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from labeling_api.requests import AnnotationRequest, LeaseRequest
from loupe import bootstrap, http
from loupe.domain.labeling.annotation import LeasedTask, OpenProject, Work, Worker
from loupe.ports.labeling import LabelingJob

api = http.RestApi("labeling_api")


@api.get("/portal/api/projects")
def projects() -> Response[str]:
    found = bootstrap.labeling_portal().projects()
    return http.reply({"projects": [_project(project) for project in found]})


@api.post("/portal/api/projects/<project>/leases")
def lease(project: str) -> Response[str]:
    wanted = http.parse_body(api.current_event, LeaseRequest)
    work = bootstrap.labeling_portal().lease(project, _worker(), wanted.count)
    api.note(correlation_id=work.job.job if work.job else None, tasks=len(work.tasks))
    return http.reply(_work(work))


@api.delete("/portal/api/projects/<project>/leases")
def give_back(project: str) -> Response[str]:
    bootstrap.labeling_portal().give_back(project, _worker())
    return http.no_content()


@api.put("/portal/api/projects/<project>/jobs/<job>/tasks/<task>/annotation")
def annotate(project: str, job: str, task: str) -> Response[str]:
    api.note(correlation_id=job)
    said = http.parse_body(api.current_event, AnnotationRequest)
    work = bootstrap.labeling_portal().annotate(
        project,
        job,
        task,
        _worker(),
        value=said.value(),
        skip=said.skip,
        suggestion=said.suggested(),
        lease=said.lease,
    )
    return http.reply(_work(work))


@api.get("/portal/api/projects/<project>/workers")
def workers(project: str) -> Response[str]:
    return http.reply(bootstrap.show_workers()(project))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)


def _worker() -> Worker:
    user = http.signed_in_user(api.current_event)
    return Worker(user.id, user.name)


def _project(project: OpenProject) -> dict[str, Any]:
    return {
        "project": project.project,
        "task": project.task,
        "labels": project.labels,
        "instructions": project.instructions,
        "job": _job(project.job),
        "suggest": project.suggest,
        "examples": list(map(asdict, project.examples)),
    }


def _job(job: LabelingJob | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {"job": job.job, "tasks": job.tasks, "answered": job.answered, "skipped": job.skipped}


def _work(work: Work) -> dict[str, Any]:
    return {"job": _job(work.job), "tasks": [_task(leased) for leased in work.tasks]}


def _task(leased: LeasedTask) -> dict[str, Any]:
    task = leased.task
    return {
        "task": task.task,
        "job": task.job,
        "image": {
            "url": leased.url,
            "name": task.key,
            "sha256": task.sha256,
            "width": task.width,
            "height": task.height,
            "orientation": task.orientation,
        },
        "lease_expires_at": f"{leased.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }
