"""Names of the objects in the workspace bucket: S3 is the truth, and each name says what it is."""

from dataclasses import dataclass
from typing import Literal

PreviewSize = Literal["preview", "thumbnail"]
"""Of the smaller copies that pages show: one to work on, and one among many."""


@dataclass(frozen=True)
class Workspace:
    """Keys of one project in the workspace bucket."""

    project: str

    @property
    def root(self) -> str:
        return f"projects/{self.project}"

    # Labeling jobs
    @property
    def jobs(self) -> str:
        return f"{self.root}/labeling-jobs/"

    def job(self, job: str) -> str:
        return f"{self.jobs}{job}"

    def input_manifest(self, job: str) -> str:
        return f"{self.job(job)}/input.manifest"

    def label_categories(self, job: str) -> str:
        return f"{self.job(job)}/label-categories.json"

    def request(self, job: str) -> str:
        """What the job's provider was asked for."""
        return f"{self.job(job)}/request.json"

    def worker_template(self, job: str) -> str:
        """The page that a provider's workers see."""
        return f"{self.job(job)}/template.liquid"

    def end(self, job: str) -> str:
        """How a job ended that another provider than the portal had, or that failed."""
        return f"{self.job(job)}/end.json"

    def review(self, job: str) -> str:
        """Where the provider puts what a review of labels found."""
        return f"{self.job(job)}/review"

    def reviewed_manifest(self, job: str) -> str:
        """What a review found, as the provider wrote it; the output manifest has what follows from it."""
        return f"{self.review(job)}/{job}/manifests/output/output.manifest"

    def annotations(self, job: str) -> str:
        return f"{self.job(job)}/annotations/"

    def annotation(self, job: str, sha256: str, worker: str) -> str:
        return f"{self.annotations(job)}{sha256}/{worker}.json"

    def checks(self, job: str) -> str:
        """The portal: images whose label is known, which measure the workers."""
        return f"{self.job(job)}/checks.manifest"

    def worker_counts(self, job: str) -> str:
        """The portal: what each worker did."""
        return f"{self.job(job)}/workers.json"

    def output_manifest(self, job: str) -> str:
        """Ground Truth's own layout: `<S3OutputPath>/<job>/manifests/output/output.manifest`."""
        return f"{self.job(job)}/manifests/output/output.manifest"

    # Labels
    @property
    def all_labels(self) -> str:
        return f"{self.root}/labels/"

    def labels(self, job: str) -> str:
        return f"{self.all_labels}{job}.jsonl"

    # Corrections: of each image's label, by the dataset version that was the latest then
    @property
    def all_corrections(self) -> str:
        return f"{self.root}/corrections/"

    def corrections(self, version: str) -> str:
        return f"{self.all_corrections}{version}/"

    def corrections_of(self, version: str, sha256: str) -> str:
        return f"{self.corrections(version)}{sha256}/"

    def correction(self, version: str, sha256: str, correction: str) -> str:
        return f"{self.corrections_of(version, sha256)}{correction}.json"

    # Dataset versions
    @property
    def datasets(self) -> str:
        return f"{self.root}/datasets/"

    def dataset(self, version: str) -> str:
        return f"{self.datasets}{version}/"

    def split(self, version: str, split: str) -> str:
        return f"{self.dataset(version)}{split}.manifest"

    def dataset_card(self, version: str) -> str:
        return f"{self.dataset(version)}dataset.json"

    def dataset_report(self, version: str) -> str:
        """What the version has, as a page for people."""
        return f"{self.dataset(version)}report.html"

    def split_history(self, version: str) -> str:
        """The split of every image that this or an earlier version had."""
        return f"{self.dataset(version)}history.jsonl"

    def images_manifest(self, version: str) -> str:
        """Objects that a training job copies: the raw-data bucket's."""
        return f"{self.dataset(version)}images.manifest"

    def referred_manifest(self, version: str, bucket: str) -> str:
        """Objects that a training job copies: those of another bucket that is referred to."""
        return f"{self.dataset(version)}referred/{bucket}.manifest"

    def copies_manifest(self, version: str) -> str:
        """Objects that a training job copies: those of `image_copy`."""
        return f"{self.dataset(version)}copies.manifest"

    def test_images_manifest(self, version: str) -> str:
        """Objects that a batch transform asks about: those of `image_copy`."""
        return f"{self.dataset(version)}test-images.manifest"

    def builtin_manifest(self, version: str, channel: str) -> str:
        """What a built-in algorithm gets as its `train` or `validation` channel."""
        return f"{self.dataset(version)}builtin/{channel}.manifest"

    def custom_labels_manifest(self, version: str, dataset: str) -> str:
        """What Rekognition gets as its `train` or `test` dataset."""
        return f"{self.dataset(version)}rekognition/{dataset}.manifest"

    def custom_labels_validation(self, version: str) -> str:
        """What would be wrong with those in Rekognition's eyes."""
        return f"{self.dataset(version)}rekognition/validation.json"

    # What the console shows of a dataset version; beside its folder, which trainings copy as a whole
    def gallery_rows(self, version: str) -> str:
        """Each of its images with its label and all earlier ones."""
        return f"{self.root}/galleries/{version}/rows.jsonl"

    def gallery_index(self, version: str) -> str:
        """What its images are found and counted by."""
        return f"{self.root}/galleries/{version}/index"

    # Copies of images: of those whose key can't be a file path in a training job, and of test images for
    # batch transforms
    @property
    def image_copies(self) -> str:
        return f"{self.root}/images/"

    def image_copy(self, sha256: str) -> str:
        return f"{self.image_copies}{sha256}"

    # Smaller copies of images, for pages
    def preview(self, size: PreviewSize, sha256: str) -> str:
        return f"{self.root}/previews/{size}/{sha256}.webp"

    # Models
    @property
    def models(self) -> str:
        return f"{self.root}/models/"

    def model(self, version: str) -> str:
        return f"{self.models}{version}/"

    def plan(self, version: str) -> str:
        """What was decided before the training: the request, and all names."""
        return f"{self.model(version)}plan.json"

    def failed_attempt(self, version: str, number: int) -> str:
        """A training job that failed, after which there was to be another; the first is 1."""
        return f"{self.model(version)}failed-attempts/{number}.json"

    def evaluation(self, version: str) -> str:
        return f"{self.model(version)}evaluation.json"

    def predictions(self, version: str) -> str:
        """The candidate's answers to the test images."""
        return f"{self.model(version)}predictions.jsonl"

    def decision(self, version: str) -> str:
        """Whether the candidate is better, with the numbers and the rule that it was decided by."""
        return f"{self.model(version)}decision.json"

    def checkpoints(self, version: str) -> str:
        """Where a training goes on from after an interruption, or in another attempt."""
        return f"{self.model(version)}checkpoints"

    def answers(self, version: str, whose: str) -> str:
        """What candidate or champion answered in the batch transform that compared them."""
        return f"{self.model(version)}answers/{whose}/"

    def outcome(self, version: str) -> str:
        """What became of a candidate: promoted, rejected, failed or to be approved, with its numbers."""
        return f"{self.model(version)}outcome.json"

    def approval(self, version: str) -> str:
        """What a person decided of a candidate that waited for it."""
        return f"{self.model(version)}approval.json"

    # What people decided of models that were trained
    @property
    def releases(self) -> str:
        return f"{self.root}/releases/"

    def release(self, request: str) -> str:
        """What came of a release that a person asked for."""
        return f"{self.releases}{request}.json"

    @property
    def pauses(self) -> str:
        return f"{self.root}/pauses/"

    def pause(self, pause: str) -> str:
        """That automatic promotion was stopped, or let go on."""
        return f"{self.pauses}{pause}.json"
