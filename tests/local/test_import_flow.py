"""Labels that exist, imported into the deployed stack, exported again, and imported into another project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import cli
from loupe.domain.datasets.labels import ORIGIN
from loupe.domain.manifests import SHA256, read_rows
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject, digits
from tests.local.waiting import eventually

IMAGES = 24
REFERRED = "photos"
"""A bucket whose images the local stack may refer to (`cli.localcloud.PARAMETERS`)."""


def loupe(deployment: Deployment, *arguments: str | Path, fails: bool = False) -> dict[str, Any]:
    """What the command answers with --json; the end of what it says if it `fails`."""
    cloud = deployment.cloud
    options = ["--home", str(cloud.home), "--port", str(cloud.port), "--local"]
    words = [*options, *map(str, arguments), "--json"]
    result = CliRunner(mix_stderr=False).invoke(cli, words)
    if fails:
        assert result.exit_code == 1
        return {"error": result.stderr}
    assert result.exit_code == 0, result.stdout + result.stderr + repr(result.exception)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Digits with their labels as CSV."""
    lines = ["file,label"]
    for digit in digits()[:IMAGES]:
        (tmp_path / digit.name).write_bytes(digit.png())
        lines.append(f"{digit.name},{digit.label}")
    (tmp_path / "labels.csv").write_text("\r\n".join(lines))
    return tmp_path


def new_project(deployment: Deployment) -> DigitProject:
    """Jobs of four images: were the imported ones waiting for people, one would open at once."""
    project = DigitProject(deployment, batch_size=4)
    project.configure()
    return project


def labels_of(project: DigitProject) -> dict[str, str]:
    """Each image's label, by SHA-256, in all splits of the newest dataset version."""
    version = project.dataset_versions()[-1]
    return {
        row[SHA256]: row["label-metadata"]["class-name"]
        for split in ("train", "validation", "test")
        for row in read_rows(project.workspace.lines(project.keys.split(version, split)))
    }


def test_imported_labels_train_a_model_and_come_back_from_an_export(
    deployment: Deployment, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = new_project(deployment), new_project(deployment)

    preview = loupe(deployment, "import", first.name, "--format", "csv", folder)
    assert (preview["imported"], preview["images"]["to_upload"]) == (False, IMAGES)
    imported = loupe(deployment, "import", first.name, "--format", "csv", folder, "--yes")
    assert imported["imported"]
    eventually(first.dataset_versions, "a dataset version of the import")
    eventually(lambda: first.status["images"]["labeled"] == IMAGES, "all images to be labeled")
    [job] = first.status["jobs"]
    assert (job["job"], job["state"], job["tasks"]) == (imported["job"], "finished", IMAGES)
    labeled = labels_of(first)
    assert sorted(labeled.values()) == sorted(digit.label for digit in digits()[:IMAGES])

    before = first.status["jobs"]
    assert loupe(deployment, "import", first.name, "--format", "csv", folder, "--yes")["already_imported"]
    loupe(deployment, "reconcile", first.name)
    assert first.status["jobs"] == before

    exported = tmp_path_factory.mktemp("export") / "coco"
    told = loupe(deployment, "export", first.name, exported, "--format", "coco")
    assert (told["version"], told["files"], told["images"]) == ("0001", 3, 0)
    again = loupe(deployment, "import", second.name, "--format", "coco", exported, "--yes")
    assert again["images"]["to_copy"] == IMAGES
    eventually(second.dataset_versions, "a dataset version of the second import")
    assert labels_of(second) == labeled
    [line, *_] = second.workspace.lines(second.keys.labels(again["job"]))
    assert json.loads(line)["origin"]["format"] == "coco"
    [row, *_] = read_rows(second.workspace.lines(second.keys.output_manifest(again["job"])))
    assert row[ORIGIN]["file"].startswith("annotations/instances_")

    for project in (first, second):
        project.await_executions(1)


def keys_in(deployment: Deployment, bucket: str, prefix: str = "") -> set[str]:
    listed = deployment.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return {each["Key"] for each in listed.get("Contents", [])}


def test_images_of_another_bucket_are_labeled_trained_on_and_measured_where_they_are(
    deployment: Deployment, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A key of two of them can't be a file's path in a training job, which takes these as copies."""
    s3, project = deployment.client("s3"), new_project(deployment)
    for bucket in (REFERRED, "nobodys"):
        s3.create_bucket(Bucket=bucket)
        for number, file in enumerate(sorted(folder.glob("*.png"))):
            folders = "2026//a" if number < 2 else f"2026/{number % 3}"
            s3.put_object(Bucket=bucket, Key=f"{folders}/{file.name}", Body=file.read_bytes())
        s3.put_object(Bucket=bucket, Key="labels.csv", Body=(folder / "labels.csv").read_bytes())
    words = ("import", project.name, "--format", "csv")

    told = loupe(deployment, *words, "s3://nobodys/labels.csv", "--refer", fails=True)
    assert "ReferredBuckets=archive,nobodys,photos" in " ".join(told["error"].split())
    place = f"s3://{REFERRED}/labels.csv"
    preview = loupe(deployment, *words, place, "--refer")["images"]
    assert (preview["to_refer_to"], preview["to_copy"], preview["to_upload"]) == (IMAGES, 0, 0)
    assert loupe(deployment, *words, place, "--refer", "--yes")["imported"]
    project.await_executions(1)
    status = project.status
    assert status["champion"], status["last_training"]
    assert status["images"]["labeled"] == IMAGES
    assert keys_in(deployment, deployment.outputs["RawDataBucket"], f"{project.name}/") == {
        f"{project.name}/project.yaml"
    }
    copies = keys_in(deployment, deployment.outputs["WorkspaceBucket"], project.keys.image_copies)
    assert len(copies) == 2
    assert sorted(labels_of(project).values()) == sorted(digit.label for digit in digits()[:IMAGES])

    exported = tmp_path_factory.mktemp("export") / "csv"
    told = loupe(deployment, "export", project.name, exported, "--format", "csv", "--images")
    assert (told["images"], told["failed"]) == (IMAGES, [])
