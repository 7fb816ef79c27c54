"""Corrections: labels that people change in the console, one at a time, long after the job that gave them.

Each is an object of its own, written once, below the dataset version that was the latest when it was made:

    corrections/<version>/<sha256>/<correction>.json

which holds the line of a label file as it will stand there. The next build of a dataset version puts all that
no label file has yet into one of its own, `labels/<project>-<time>-<digits>-corrections.jsonl`. From then on
they are labels like any other: of several labels of an image the newest counts. So a thousand corrections
cost the builds to come one more file, and no training starts for each. docs/decisions/corrections.md says
why.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

from loupe.domain.batches import in_parallel
from loupe.domain.datasets.labels import Line, accepted_jobs, image_fields, label_lines
from loupe.domain.errors import AlreadyWritten
from loupe.domain.json_lines import read_line, write_lines
from loupe.domain.label_values import LabelValue, read_any
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects

_SUFFIX = "-corrections"
"""End of the names of label files that have corrections; no labeling job is called so."""
_READERS = 16


@dataclass(frozen=True)
class Correction:
    """A person's word on an image's label: another `value`, or None to withdraw it, so that the image is
    asked about again. `worker` is the user pool's id. `id` tells it from all others and ascends with time."""

    sha256: str
    value: LabelValue | None
    worker: str
    worker_name: str
    at: datetime

    @property
    def id(self) -> str:
        said = f"{self.worker}/{self.sha256}"
        return f"{self.at:%Y%m%dT%H%M%S%f}-{crc32(said.encode()):08x}"

    def to_json(self) -> dict[str, Any]:
        """As the API tells it."""
        said = {"withdrawn": True} if self.value is None else self.value.to_json()
        return {
            "correction": self.id,
            **said,
            "workers": [self.worker_name],
            "labeled_at": self.at.isoformat(),
            "human": True,
        }


def write_correction(
    project: str, version: str, correction: Correction, image: ImageRecord, store: StoresObjects
) -> None:
    """Write it down, once. Confidences are 0, as of every label that one person gave."""
    said = correction.to_json()
    if correction.value is not None:
        said["confidences"] = [0.0] * len(correction.value.names)
    line = {"sha256": correction.sha256, **image_fields(image), **said, "worker": correction.worker}
    key = Workspace(project).correction(version, correction.sha256, correction.id)
    with suppress(AlreadyWritten):
        content = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()
        store.write_once(key, content, "application/json")


def read_correction(key: str, store: StoresObjects) -> Correction:
    """The correction in an object."""
    return correction_of_line(read_line(store.read(key)))


def correction_of_line(line: Line) -> Correction:
    return Correction(
        line["sha256"],
        None if "withdrawn" in line else read_any(line),
        line["worker"],
        line["workers"][0],
        datetime.fromisoformat(line["labeled_at"]),
    )


def is_correction(job: str) -> bool:
    """Whether a label file of that name has corrections, and no labeling job's labels."""
    return job.endswith(_SUFFIX)


def written_corrections(prefix: str, store: StoresObjects) -> Iterator[tuple[str, str, str]]:
    """Image, name and key of each correction whose object's key begins so; by image, then oldest first."""
    for stored in store.list(prefix):
        sha256, name = stored.key.split("/")[-2:]
        yield sha256, name.removesuffix(".json"), stored.key


def compacted_corrections(project: str, jobs: Iterable[str], store: StoresObjects) -> Iterator[str]:
    """Names of the corrections that those of the label files have."""
    for text in label_lines(project, filter(is_correction, jobs), store):
        yield read_line(text)["correction"]


@dataclass(frozen=True)
class AcceptCorrections:
    """Makes a label file of all corrections that are in none yet.

    Which those are is said by the label files alone, so that a crash leaves nothing half done. The caller
    sees to it that nobody else does the same at the same time.
    """

    images: KeepsImages
    workspace: StoresObjects
    clock: Clock

    def __call__(self, project: str) -> int:
        """Returns how many corrections the new file has; without any there is none."""
        jobs = accepted_jobs(project, self.workspace)
        known = set(compacted_corrections(project, jobs, self.workspace))
        prefix = Workspace(project).all_corrections
        keys = [key for _, name, key in written_corrections(prefix, self.workspace) if name not in known]
        if not keys:
            return 0
        lines: list[Line] = [
            read_line(content) for content in in_parallel(self.workspace.read, keys, _READERS)
        ]
        # Newest first, as a lost index is restored from label files: what counts comes first.
        lines.sort(key=lambda line: str(line["correction"]), reverse=True)
        tag = crc32("".join(line["correction"] for line in lines).encode()) & 0xFFFF
        job = f"{project}-{self.clock():%Y%m%dt%H%M%S}-{tag:04x}{_SUFFIX}"
        self._tell_index(project, job, lines)
        with suppress(AlreadyWritten):
            self.workspace.write_lines_once(Workspace(project).labels(job), _lines(job, lines))
        return len(lines)

    def _tell_index(self, project: str, job: str, lines: Iterable[Line]) -> None:
        newest: dict[str, bool] = {}
        for line in lines:
            newest.setdefault(line["sha256"], "withdrawn" in line)
        self.images.accept(project, job, [sha256 for sha256, out in newest.items() if not out], ())
        self.images.withdraw(project, job, [sha256 for sha256, out in newest.items() if out])


def _lines(job: str, lines: Iterable[Line]) -> Iterator[str]:
    return write_lines({**line, "job": job} for line in lines)
