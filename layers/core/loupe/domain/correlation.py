"""The id that ties together whatever came of an upload: log lines, tags, plans, champions.

It is the name of the labeling job that the images were cut into. Before there is a job, an image has an id of
its own; the job's input manifest says which images went on under the job's. A turn of the loop takes several
jobs in and goes on under the newest one's name. docs/logs.md tells where it stands.
"""

from collections.abc import Collection

from loupe.domain.datasets.corrections import is_correction

TAG = "loupe:correlation-id"
"""On training jobs, models, endpoint configurations and whatever else is made for a model."""
VARIABLE = "LOUPE_CORRELATION_ID"
"""By which a training job is told."""

_IMAGE_DIGITS = 16


def id_of_image(sha256: str) -> str:
    """Of an image that is in no job yet, or that lines are about on its own account."""
    return f"image-{sha256[:_IMAGE_DIGITS]}"


def id_of_turn(jobs: Collection[str]) -> str | None:
    """Of a dataset version, by the names of the label files that it is the first to have: the newest labeling
    job, and only without one a file of corrections, which is written when the version is built."""
    labeled = [job for job in jobs if not is_correction(job)]
    return max(labeled or jobs, default=None)
