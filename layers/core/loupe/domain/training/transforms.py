"""Batch transforms: candidate and champion are asked about the same frozen test images by SageMaker itself.

Each test image is copied once to a flat name of the workspace bucket, its SHA-256, so that its answer has a
name that says whose it is, whatever the image's own key: `<output>/<SHA-256>.out`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loupe.domain.datasets.test_split import FrozenImage, frozen_images, frozen_rows
from loupe.domain.errors import AlreadyWritten, DomainError, ModelError, ObjectMissing
from loupe.domain.images.copies import copy_images, manifest_file
from loupe.domain.manifests import SHA256, S3Uri
from loupe.domain.projects import ProjectConfig
from loupe.domain.serving.answers import Prediction, read_answer
from loupe.domain.training.metrics import Answered, applying, measure
from loupe.domain.training.plans import TrainingPlan, Transforms, legal_name
from loupe.domain.workspace import Workspace
from loupe.ports.loops import KeepsLoops, ServedModel
from loupe.ports.objects import StoresObjects

CANDIDATE, CHAMPION = "candidate", "champion"

_MEGABYTES = 40
_AT_ONCE = 2
"""Of images of at most 40 MB; SageMaker allows 100 MB in all."""
_READS_AT_ONCE = 32
_EVERY_BOX = {"LOUPE_MIN_CONFIDENCE": "0"}
"""Loupe's own models answer with the boxes above their thresholds alone, unless they are told otherwise;
average precision counts all."""
_MAY_BE_MISSING = 0.1
"""Share of the test images that may have no answer, say because the algorithm can't decode them."""


class NotMeasured(DomainError):
    """A model gave no answers that it could be measured by; the message says why."""

    slug, title = "not-measured", "The model could not be measured"


# Requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanTransforms:
    """Requests for batch transforms, with what they name."""

    loops: KeepsLoops
    workspace: StoresObjects
    stack: str

    def of_both(self, plan: TrainingPlan, config: ProjectConfig) -> Transforms:
        """For a candidate that can't measure itself, and the champion if SageMaker hosts it."""
        self._write_images(plan)
        return Transforms(
            self._request(plan, config, CANDIDATE, plan.model_name),
            self._champion(plan, config, ("script", "builtin")),
        )

    def of_builtin_champion(self, plan: TrainingPlan, config: ProjectConfig) -> Transforms | None:
        """For a candidate whose trainer measures it, but can't run a built-in algorithm's model."""
        champion = self._champion(plan, config, ("builtin",))
        if champion is None:
            return None
        self._write_images(plan)
        return Transforms(None, champion)

    def _champion(
        self, plan: TrainingPlan, config: ProjectConfig, trainers: Sequence[str]
    ) -> dict[str, Any] | None:
        """The request for the champion, if one of those trained it, and for the same task."""
        champion = self.loops.loop(plan.project).champion
        if champion is None or champion.model.trainer not in trainers or champion.model.task != plan.task:
            return None
        name = TrainingPlan.read(self.workspace, plan.project, champion.version).model_name
        request = self._request(plan, config, CHAMPION, name)
        if champion.model.trainer == "script" and plan.task == "bounding-box":
            request["Environment"] = _EVERY_BOX
        return request

    def _write_images(self, plan: TrainingPlan) -> None:
        names = Workspace(plan.project)
        rows = frozen_rows(self.workspace, plan)
        places = {row[SHA256]: S3Uri.parse(row["source-ref"]) for row in rows}
        copied = copy_images(names, places, self.workspace)
        prefix = f"s3://{self.workspace.bucket}/{names.image_copies}"
        with suppress(AlreadyWritten):
            self.workspace.write_lines_once(
                names.test_images_manifest(plan.dataset_version), manifest_file(prefix, copied)
            )

    def _request(
        self, plan: TrainingPlan, config: ProjectConfig, whose: str, model_name: str
    ) -> dict[str, Any]:
        names, bucket = Workspace(plan.project), self.workspace.bucket
        token = plan.model_name.rpartition("-")[2]
        return {
            "TransformJobName": legal_name(self.stack, plan.project, plan.version, token, whose),
            "ModelName": model_name,
            "TransformInput": {
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "ManifestFile",
                        "S3Uri": str(S3Uri(bucket, names.test_images_manifest(plan.dataset_version))),
                    }
                },
                "ContentType": "application/x-image",
                "CompressionType": "None",
                "SplitType": "None",
            },
            "TransformOutput": {
                "S3OutputPath": str(S3Uri(bucket, names.answers(plan.version, whose).rstrip("/"))),
                "Accept": "application/json",
                "AssembleWith": "None",
            },
            "TransformResources": {
                "InstanceType": config.training.transform_instance_type,
                "InstanceCount": 1,
            },
            "BatchStrategy": "SingleRecord",
            "MaxConcurrentTransforms": _AT_ONCE,
            "MaxPayloadInMB": _MEGABYTES,
            "Tags": plan.tags,
        }


# What came of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TransformAnswers:
    """Makes an evaluation of what models answered in batch transforms.

    Only images that the candidate answered count; a champion without an answer to one of them is not
    measured.
    """

    loops: KeepsLoops
    workspace: StoresObjects

    def candidate(self, plan: TrainingPlan, failure: str | None) -> tuple[dict[str, Any], list[str]]:
        """The evaluation without the champion, and the lines of predictions.jsonl. `failure` says why the
        transform failed, if it did. Raises `NotMeasured` if too few images were answered, `ModelError`."""
        images = list(frozen_images(self.workspace, plan))
        answers = self._answers(plan, CANDIDATE, plan.served_at(), images)
        answered = [image for image in images if image.sha256 in answers]
        missing = len(images) - len(answered)
        if not answered or missing > _MAY_BE_MISSING * len(images):
            raise NotMeasured(
                f"model {plan.version} answered {len(answered)} of {len(images)} test images in batch "
                f"transform{f': {failure}' if failure else ''}"
            )
        evaluation = {
            "task": plan.task,
            "dataset_version": plan.dataset_version,
            "test_images": len(answered),
            "left_out": {"no answer": missing} if missing else {},
            "candidate": _metrics(plan, answered, answers),
            "champion": None,
        }
        return evaluation, [_line(image, answers[image.sha256]) for image in answered]

    def champion(self, plan: TrainingPlan, failure: str | None) -> dict[str, Any] | None:
        """The champion's metrics, `{"error"}` if it could not be measured, None if it was not asked.
        `failure` says why its transform failed, if it did."""
        champion = self.loops.loop(plan.project).champion
        if champion is None or plan.transforms is None or plan.transforms.champion is None:
            return None
        images = list(frozen_images(self.workspace, plan))
        if plan.transforms.candidate is not None:
            of_candidate = set(self._answered(plan, CANDIDATE))
            images = [image for image in images if image.sha256 in of_candidate]
        try:
            answers = self._answers(plan, CHAMPION, champion.model, images)
        except ModelError as error:
            return {"error": str(error)}
        if len(answers) < len(images) or not images:
            told = f"the champion answered {len(answers)} of {len(images)} test images"
            return {"error": f"{told}: {failure}" if failure else told}
        return _metrics(plan, images, answers)

    def _answered(self, plan: TrainingPlan, whose: str) -> Iterator[str]:
        """SHA-256 of the images that have an answer."""
        prefix = Workspace(plan.project).answers(plan.version, whose)
        for stored in self.workspace.list(prefix):
            yield stored.key.removeprefix(prefix).removesuffix(".out")

    def _answers(
        self, plan: TrainingPlan, whose: str, model: ServedModel, images: Sequence[FrozenImage]
    ) -> Mapping[str, list[Prediction]]:
        """Predictions by the image's SHA-256. Raises `ModelError`."""
        prefix = Workspace(plan.project).answers(plan.version, whose)

        def read(image: FrozenImage) -> tuple[str, list[Prediction]] | None:
            try:
                content = self.workspace.read(f"{prefix}{image.sha256}.out")
            except ObjectMissing:
                return None
            return image.sha256, read_answer(model, content, image.size)

        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            return dict(filter(None, pool.map(read, images)))


def _metrics(
    plan: TrainingPlan, images: Sequence[FrozenImage], answers: Mapping[str, list[Prediction]]
) -> dict[str, Any]:
    return measure(plan.task, plan.labels, [Answered(i.truth, answers[i.sha256]) for i in images])


def _line(image: FrozenImage, predictions: list[Prediction]) -> str:
    """The candidate's answer as a line of predictions.jsonl."""
    content: dict[str, Any] = {
        "source-ref": image.row["source-ref"],
        SHA256: image.sha256,
        **image.truth.to_json(),
    }
    match image.truth.task:
        case "image-classification":
            best = predictions[0]
            content |= {"predicted": best["label"], "confidence": best["confidence"]}
        case "multi-label-classification":
            confidences = {each["label"]: each["confidence"] for each in predictions}
            content |= {"predicted": applying(predictions), "confidences": confidences}
        case "bounding-box":
            content |= {"predicted": predictions}
    return json.dumps(content, ensure_ascii=False) + "\n"
