"""Ground Truth in memory."""

from dataclasses import dataclass, field

from loupe.domain.errors import DomainError
from loupe.domain.manifests import read_rows
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard, ProviderProgress
from loupe.ports.objects import StoresObjects

RUNNING = ProviderProgress("running", labeled=0, failed=0)


@dataclass
class FakeGroundTruth:
    """Implements `loupe.ports.labeling.StartsLabelingJobs` and `WatchesLabelingJobs`. Jobs that are started
    get an entry in `jobs`; `error` is what starting one raises."""

    workspace: StoresObjects
    jobs: dict[str, ProviderProgress] = field(default_factory=dict)
    error: DomainError | None = None
    starts: int = 0
    looks: int = 0

    def start(self, card: JobCard) -> int:
        self.starts += 1
        if self.error is not None:
            raise self.error
        self.jobs.setdefault(card.job, RUNNING)
        return sum(
            1 for _ in read_rows(self.workspace.lines(Workspace(card.project).input_manifest(card.job)))
        )

    def progress(self, job: str) -> ProviderProgress | None:
        self.looks += 1
        return self.jobs.get(job)
