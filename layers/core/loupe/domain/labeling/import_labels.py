"""The stack's part in an import: what the command asks of the index. See `loupe.domain.labeling.imports`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from loupe.domain.errors import BadRequest, NotFound, ObjectMissing
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import check_value
from loupe.domain.labeling.starting import announce, read_card
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH, InvalidManifest, S3Uri, read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES, check_project_name
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages, RequestsLooks
from loupe.ports.labeling import JobCard, KeepsLabelingJobs
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects

MAX_ASKED = 1_000
MAX_REFERRED_BUCKETS = 10
"""Each bucket is a channel of a training, of which SageMaker takes 20."""
"""So many images are told of at a time."""


@dataclass(frozen=True)
class ImportLabels:
    """Tells the command which images are registered, has images of other buckets registered, and takes a
    whole import over. `buckets` are those that the stack refers to."""

    images: KeepsImages
    jobs: KeepsLabelingJobs
    workspace: StoresObjects
    queue: RequestsLooks
    events: PublishesEvents
    clock: Clock
    buckets: frozenset[str] = frozenset()

    def do(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the command asks for, by its action:

        {"action": "known", "project", "keys", "sha256s"}, {"action": "refer", "project", "uris"} or
        {"action": "finish", "project", "job"}.

        Raises `BadRequest` for anything else, and what those raise.
        """
        match asked:
            case {"action": "known", "project": str(project), "keys": [*keys], "sha256s": [*sha256s]}:
                return self.known(check_project_name(project), keys, sha256s)
            case {"action": "refer", "project": str(project), "uris": [*uris]}:
                return self.refer(check_project_name(project), uris)
            case {"action": "finish", "project": str(project), "job": str(job)}:
                return self.finish(check_project_name(project), job)
        raise BadRequest(
            "ask for the action known, with project, keys and sha256s, refer, with project and uris, or "
            "finish, with project and job"
        )

    def known(self, project: str, keys: list[str], sha256s: list[str]) -> dict[str, Any]:
        """What is registered under those keys, and of those images:

        {"objects": {key: {"sha256"} | {"reason", "detail"}},
         "images": {sha256: {"key", "version_id", "width", "height", "state", "job", "reason",
                             "registered_at"}}}

        without what is not known. Raises `BadRequest` for more than `MAX_ASKED`.
        """
        if len(keys) + len(sha256s) > MAX_ASKED:
            raise BadRequest(f"ask for at most {MAX_ASKED:,} images at a time")
        objects = self.images.objects(project, keys)
        wanted = {record.sha256 for record in objects.values() if record.sha256}.union(sha256s)
        images = self.images.images(project, wanted)
        return {
            "objects": {
                key: {"sha256": record.sha256}
                if record.sha256
                else {"reason": record.reason, "detail": record.detail}
                for key, record in objects.items()
                if record.sha256 is None or record.sha256 in images
            },
            "images": {sha256: _told(record) for sha256, record in images.items()},
        }

    def refer(self, project: str, uris: list[str]) -> dict[str, Any]:
        """Have the objects at those URIs looked at and registered as images of the project, where they are.

        Returns {"asked": how many}. Raises `BadRequest` for more than `MAX_ASKED`, and for buckets that the
        stack does not refer to; then nothing was asked for.
        """
        if len(uris) > MAX_ASKED:
            raise BadRequest(f"ask for at most {MAX_ASKED:,} images at a time")
        check_referred({S3Uri.parse(uri).bucket for uri in uris}, self.buckets)
        return {"asked": self.queue.request(project, uris)}

    def finish(self, project: str, job: str) -> dict[str, Any]:
        """Put a whole import among the finished jobs and announce it; repeating it changes nothing.

        Returns {"job", "images"}. Raises `NotFound`, `BadRequest` and `InvalidManifest`.
        """
        try:
            card = read_card(self.workspace, project, job)
            images = self._check(card)
        except ObjectMissing as error:
            raise NotFound(f"there is no whole import {job!r} in {project!r}: {error.detail}") from error
        known = self.jobs.job(project, job)
        if known is None or known.state != "finished":
            self.jobs.restore_finished(card, images, 0, self.clock())
        if known is None or not known.announced:
            announce(self.jobs, self.events, project, job)
        return {"job": job, "images": images}

    def _check(self, card: JobCard) -> int:
        """How many images the import has, all of which have a label that its card allows."""
        if card.provider != "import":
            raise BadRequest(f"{card.job!r} is a labeling job of {card.provider}, not an import")
        names, images = Workspace(card.project), 0
        taken = {row[SHA256] for row in read_rows(self.workspace.lines(names.input_manifest(card.job)))}
        for row in read_rows(self.workspace.lines(names.output_manifest(card.job))):
            label = read_label(row, LABEL_ATTRIBUTES[card.task], card.task, card.labels)
            if not isinstance(label, Label) or row.get(SHA256) not in taken:
                raise InvalidManifest(f"the row of {row['source-ref']} is none of this import")
            check_value(label.value, card.labels, (row[WIDTH], row[HEIGHT]))
            images += 1
        return images


def check_referred(buckets: Iterable[str], allowed: Collection[str]) -> None:
    """Raises `BadRequest` for buckets whose images the stack may not refer to, and says how it may."""
    if len(allowed) > MAX_REFERRED_BUCKETS:
        raise BadRequest(
            f"the stack's parameter ReferredBuckets names {len(allowed)} buckets, and a training takes at "
            f"most {MAX_REFERRED_BUCKETS}: deploy it with fewer, or have the images copied"
        )
    others = sorted(set(buckets).difference(allowed))
    if others:
        raise BadRequest(
            f"the stack does not refer to images in {', '.join(others)}: deploy it with the parameter "
            f"ReferredBuckets={','.join(sorted({*allowed, *others}))}, or have the images copied"
        )


def _told(record: ImageRecord) -> dict[str, Any]:
    return {
        "key": record.key,
        "version_id": record.version_id,
        "width": record.width,
        "height": record.height,
        "state": record.state,
        "job": record.job,
        "reason": record.reason,
        "registered_at": record.registered_at.isoformat(),
    }
