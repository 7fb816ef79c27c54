"""The frozen test split of a dataset version: what models are measured and looked at by."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from loupe.domain.errors import ObjectMissing
from loupe.domain.images.places import key_of
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import LabelValue
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH, Row, read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects


@dataclass(frozen=True)
class FrozenImage:
    """An image of the test split with its label."""

    row: Row
    truth: LabelValue

    @property
    def sha256(self) -> str:
        return str(self.row[SHA256])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; 0 where the manifest does not say."""
        return self.row.get(WIDTH, 0), self.row.get(HEIGHT, 0)


def frozen_rows(workspace: StoresObjects, plan: TrainingPlan) -> Iterator[Row]:
    """Rows of the test split of a plan's dataset version. Raises `ObjectMissing`, `InvalidManifest`."""
    return read_rows(workspace.lines(Workspace(plan.project).split(plan.dataset_version, "test")))


def frozen_images(workspace: StoresObjects, plan: TrainingPlan) -> Iterator[FrozenImage]:
    """Its labeled images. Raises as `frozen_rows`."""
    for row in frozen_rows(workspace, plan):
        label = read_label(row, LABEL_ATTRIBUTES[plan.task], plan.task, plan.labels)
        if isinstance(label, Label):
            yield FrozenImage(row, label.value)


def as_labeled(raw_data: StoresObjects, row: Row) -> bytes | None:
    """A row's image, unless the object is gone or no longer what was labeled. Raises `StoreUnavailable`.

    `raw_data` reads images of other buckets, too, by their URIs.
    """
    try:
        image = raw_data.read(key_of(row["source-ref"], raw_data.bucket))
    except ObjectMissing:
        return None
    return image if sha256(image).hexdigest() == row[SHA256] else None
