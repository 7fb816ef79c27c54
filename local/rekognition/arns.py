"""Names of Custom Labels' resources; each ends in the millisecond of its creation."""

from __future__ import annotations

import time

from local.home import ACCOUNT_ID, REGION

_PREFIX = f"arn:aws:rekognition:{REGION}:{ACCOUNT_ID}:project/"


def project(name: str) -> str:
    return f"{_PREFIX}{name}/{_now()}"


def any_project(name: str) -> str:
    """What a policy is asked about before the project is there."""
    return f"{_PREFIX}{name}/0"


def dataset(project_arn: str, kind: str) -> str:
    """`kind` is TRAIN or TEST."""
    return f"{_PREFIX}{name_of(project_arn)}/dataset/{kind.lower()}/{_now()}"


def version(project_arn: str, name: str) -> str:
    return f"{_PREFIX}{name_of(project_arn)}/version/{name}/{_now()}"


def name_of(any_arn: str) -> str:
    """The project's name in the ARN of anything that belongs to it."""
    return any_arn.removeprefix(_PREFIX).partition("/")[0]


def _now() -> int:
    return round(time.time() * 1000)
