"""The last look at a candidate before it counts as released: its endpoint answers test images as agreed."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from loupe.domain.errors import DomainError, ModelError, ObjectMissing
from loupe.domain.manifests import SHA256, Row, S3Uri, read_rows
from loupe.domain.training import TrainingPlan
from loupe.domain.workspace import Workspace
from loupe.ports import InvokesEndpoints, ServedModel, StoresObjects

_IMAGES = 3
_MAX_BYTES = 4_000_000
"""What a serverless endpoint takes."""

_NEAR = 0.05
"""Confidences this near may change places between the training's processor and the endpoint's."""


class SmokeTestFailed(DomainError):
    """The new endpoint does not answer as it should; the message says how."""

    slug, title = "smoke-test-failed", "The new endpoint did not pass its smoke test"


@dataclass(frozen=True)
class SmokeTestEndpoint:
    """Asks the endpoint about a few test images and compares with what the trainer predicted for them."""

    endpoints: InvokesEndpoints
    raw_data: StoresObjects
    workspace: StoresObjects

    def __call__(self, project: str, version: str, endpoint: str | None = None) -> int:
        """The number of images asked about. `endpoint` is where the model answers if that was not known
        when its training was planned. Raises `SmokeTestFailed`, `StoreUnavailable`."""
        plan = TrainingPlan.read(self.workspace, project, version)
        model = plan.served_at(endpoint)
        names = Workspace(project)
        asked: list[tuple[str, list[dict[str, Any]]]] = []
        for row, image in self._test_images(project, plan.dataset_version):
            where = row["source-ref"]
            try:
                answer = self.endpoints.invoke(model, image, _content_type(image))
            except ModelError as error:
                raise SmokeTestFailed(f"{model.endpoint} failed on {where}: {error}") from error
            _check(answer, model, where)
            asked.append((row[SHA256], answer))
            if len(asked) == _IMAGES:
                break
        if not asked:
            raise SmokeTestFailed(
                f"no test image of dataset version {plan.dataset_version} is there to ask about"
            )
        expected = self._expected(names, version, {digest for digest, _ in asked})
        for digest, answer in asked:
            _compare(answer, expected.get(digest), digest)
        return len(asked)

    def _test_images(self, project: str, dataset_version: str) -> Iterator[tuple[Row, bytes]]:
        """Test images that still are what was labeled, and that an endpoint takes."""
        manifest = Workspace(project).split(dataset_version, "test")
        for row in read_rows(self.workspace.lines(manifest)):
            with suppress(ObjectMissing):
                image = self.raw_data.read(S3Uri.parse(row["source-ref"]).key)
                if len(image) <= _MAX_BYTES and sha256(image).hexdigest() == row[SHA256]:
                    yield row, image

    def _expected(self, names: Workspace, version: str, digests: set[str]) -> dict[str, str]:
        """The label that the trainer predicted, by image; empty if it left no predictions."""
        try:
            lines = [json.loads(line) for line in self.workspace.lines(names.predictions(version))]
        except ObjectMissing:
            return {}
        return {line[SHA256]: line["predicted"] for line in lines if line[SHA256] in digests}


def _content_type(image: bytes) -> str:
    return "image/png" if image.startswith(b"\x89PNG") else "image/jpeg"


def _check(answer: list[dict[str, Any]], model: ServedModel, where: str) -> None:
    """All labels, or those that Rekognition means to apply; best first, with confidences between 0 and 1."""
    labels = model.labels
    found = [prediction["label"] for prediction in answer]
    if model.hosting == "rekognition":
        if set(found) - set(labels):
            raise SmokeTestFailed(f"the answer to {where} has the labels {found}, not some of {list(labels)}")
    elif sorted(found) != sorted(labels):
        raise SmokeTestFailed(f"the answer to {where} has the labels {found}, not {list(labels)}")
    confidences = [prediction["confidence"] for prediction in answer]
    if not all(isinstance(c, int | float) and math.isfinite(c) and 0 <= c <= 1 for c in confidences):
        raise SmokeTestFailed(f"the answer to {where} has confidences that are not between 0 and 1")
    if confidences != sorted(confidences, reverse=True):
        raise SmokeTestFailed(f"the answer to {where} is not sorted, best first")


def _compare(answer: list[dict[str, Any]], expected: str | None, digest: str) -> None:
    """The endpoint must see what the trainer saw, but for images that it wavers about."""
    if expected is None or answer[0]["label"] == expected:
        return
    best = answer[0]
    confidence = next(p["confidence"] for p in answer if p["label"] == expected)
    if best["confidence"] - confidence > _NEAR:
        raise SmokeTestFailed(
            f"the endpoint says {best['label']!r} for image {digest}, but the trained model said {expected!r}"
        )
