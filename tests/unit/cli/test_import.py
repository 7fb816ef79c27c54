"""`loupe import` on a stack in memory."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loupe.domain.datasets.labels import ORIGIN
from loupe.domain.events import LabelingJobFinished
from loupe.domain.manifests import SHA256, read_rows
from loupe.domain.workspace import Workspace
from tests.fakes.objects import FakeObjects
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.cli.pictures import picture

Import = Callable[..., dict[str, Any]]


@pytest.fixture
def bolts(loupe: Loupe) -> str:
    """A project of boxes."""
    loupe("project", "create", "bolts", "--task", "bounding-box", "--label", "bolt", "--label", "nut")
    return "bolts"


@pytest.fixture
def imported(loupe: Loupe) -> Import:
    """Runs `loupe import ARGUMENTS... --json`."""

    def run(*arguments: str | Path, exit_code: int = 0) -> dict[str, Any]:
        result = loupe("import", *arguments, "--json", exit_code=exit_code)
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three images with labels of the project `parts`, and one without."""
    folder = tmp_path / "data"
    (folder / "deep er").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "deep er/ü.png", "unlabeled.png")):
        (folder / name).write_bytes(picture(number))
    (folder / "labels.csv").write_text("file,label\r\na.png,0\r\nb.png,1\r\ndeep er/ü.png,1\r\n", "utf-8-sig")
    return folder


def rows_of(stack: FakeStack, project: str, job: str) -> list[dict[str, Any]]:
    return list(read_rows(stack.workspace.lines(Workspace(project).output_manifest(job))))


def everything(stack: FakeStack) -> tuple[dict[str, bytes], dict[str, bytes]]:
    return dict(stack.objects), dict(stack.workspace.content)


def test_without_yes_it_tells_and_changes_nothing(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    before = everything(stack)
    found = imported(project, "--format", "csv", table)
    assert everything(stack) == before
    assert found["imported"] is False
    assert found["images"] == {
        "labeled": 3,
        "to_import": 3,
        "in_place": 0,
        "to_upload": 3,
        "to_copy": 0,
        "to_refer_to": 0,
        "being_labeled": 0,
        "without_label_in_folder": 1,
    }
    assert (found["labels"], found["new"]) == ({"1": 2, "0": 1}, 3)


def test_an_import_is_a_finished_job_with_its_images_in_the_bucket(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    found = imported(project, "--format", "csv", table, "--yes")
    assert sorted(stack.puts) == ["parts/a.png", "parts/b.png", "parts/deep er/ü.png"]
    rows = rows_of(stack, project, found["job"])
    assert [(row["source-ref"], row["label-metadata"]["class-name"]) for row in rows] == [
        ("s3://raw/parts/a.png", "0"),
        ("s3://raw/parts/b.png", "1"),
        ("s3://raw/parts/deep er/ü.png", "1"),
    ]
    assert rows[0][ORIGIN] == {"format": "csv", "file": "labels.csv", "line": 2}
    assert stack.jobs.records[project, found["job"]].state == "finished"
    assert stack.events.published == [LabelingJobFinished(project, found["job"])]


def test_importing_twice_changes_nothing(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    first = imported(project, "--format", "csv", table, "--yes")
    before = everything(stack)
    again = imported(project, "--format", "csv", table, "--yes")
    assert again["already_imported"]
    assert again["job"] == first["job"]
    assert everything(stack) == before
    assert len(stack.events.published) == 1


@pytest.mark.parametrize("fails_at", ["input.manifest", "label-categories.json", "output.manifest"])
def test_an_interrupted_import_goes_on_in_its_job(
    imported: Import, loupe: Loupe, stack: FakeStack, project: str, table: Path, fails_at: str
) -> None:
    class Interrupted(FakeObjects):
        def write(self, key: str, content: bytes, content_type: str = "") -> None:
            if key.endswith(fails_at):
                raise KeyboardInterrupt
            super().write(key, content, content_type)

    whole = stack.workspace
    stack.workspace = Interrupted("workspace", content=whole.content)
    loupe("import", project, "--format", "csv", table, "--yes", exit_code=1)
    stack.workspace = whole
    assert not stack.jobs.records
    [folder] = list(whole.list_folders(Workspace(project).jobs))
    found = imported(project, "--format", "csv", table, "--yes")
    assert found["job"] == folder
    assert len(rows_of(stack, project, folder)) == 3
    assert len(stack.puts) == 3


def test_images_that_the_bucket_has_are_used_where_they_are(
    imported: Import, stack: FakeStack, project: str, tmp_path: Path
) -> None:
    stack.objects["parts/monday/a.png"] = picture(1)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nmonday/a.png,0\n")
    found = imported(project, "--format", "csv", labels, "--yes")
    assert found["images"]["in_place"] == 1
    assert [row["source-ref"] for row in rows_of(stack, project, found["job"])] == [
        "s3://raw/parts/monday/a.png"
    ]
    assert stack.puts == []


def test_an_image_with_the_same_bytes_is_not_stored_again(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    stack.objects["parts/elsewhere.png"] = picture(0)
    found = imported(project, "--format", "csv", table, "--yes")
    assert "parts/a.png" not in stack.puts
    assert rows_of(stack, project, found["job"])[0]["source-ref"] == "s3://raw/parts/elsewhere.png"


def test_no_object_is_overwritten(imported: Import, stack: FakeStack, project: str, table: Path) -> None:
    stack.objects["parts/a.png"] = picture(99)
    found = imported(project, "--format", "csv", table, "--yes")
    assert stack.objects["parts/a.png"] == picture(99)
    first = rows_of(stack, project, found["job"])[0]
    assert first["source-ref"] == f"s3://raw/parts/a-{first[SHA256][:12]}.png"


def test_images_of_another_bucket_are_copied(
    imported: Import, stack: FakeStack, bolts: str, tmp_path: Path
) -> None:
    other = stack.other_buckets["acme"] = FakeObjects("acme")
    other.write("in/1.png", picture(1))
    row = {
        "source-ref": "s3://acme/in/1.png",
        "bolts-07": {
            "image_size": [{"width": 40, "height": 30, "depth": 3}],
            "annotations": [{"class_id": "1", "left": 4, "top": 3, "width": 9, "height": 8}],
        },
        "bolts-07-metadata": {
            "objects": [{"confidence": 0.78}],
            "class-map": {"1": "bolt"},
            "type": "groundtruth/object-detection",
            "human-annotated": "no",
            "creation-date": "2026-05-04T10:00:12.900001",
            "job-name": "labeling-job/bolts-07",
        },
    }
    other.write("labels/output.manifest", (json.dumps(row) + "\r\n").encode())
    found = imported(bolts, "--format", "manifest", "s3://acme/labels/output.manifest", "--yes")
    assert found["images"]["to_copy"] == 1
    assert stack.objects["bolts/in/1.png"] == picture(1)
    [written] = rows_of(stack, bolts, found["job"])
    assert written["boxes"]["annotations"] == [{"class_id": 0, "left": 4, "top": 3, "width": 9, "height": 8}]
    metadata = written["boxes-metadata"]
    assert metadata["human-annotated"] == "no"
    assert metadata["creation-date"] == "2026-05-04T10:00:12.900001"
    assert metadata["objects"] == [{"confidence": 0.78}]
    assert written[ORIGIN]["job"] == "bolts-07"


@pytest.fixture
def archive(stack: FakeStack) -> FakeObjects:
    """A bucket with two images and their labels, to which the stack refers."""
    bucket = stack.other_buckets["archive"] = FakeObjects("archive")
    for number in (1, 2):
        bucket.write(f"2026//{number}.png", picture(number))
    bucket.write("labels.csv", b"file,label\n2026//1.png,0\n2026//2.png,1\n")
    return bucket


REFER = ("--format", "csv", "s3://archive/labels.csv", "--refer")


def test_images_of_another_bucket_stay_there_if_they_are_to_be_referred_to(
    imported: Import, stack: FakeStack, project: str, archive: FakeObjects
) -> None:
    preview = imported(project, *REFER)
    assert (preview["images"]["to_refer_to"], preview["images"]["to_copy"]) == (2, 0)
    assert stack.referred == []
    before = dict(stack.objects)
    found = imported(project, *REFER, "--yes")
    uris = ["s3://archive/2026//1.png", "s3://archive/2026//2.png"]
    assert stack.referred == uris
    assert stack.objects == before
    assert [row["source-ref"] for row in rows_of(stack, project, found["job"])] == uris
    assert [row["source-ref"] for row in held(stack, project, found["job"])] == uris
    assert imported(project, *REFER, "--yes")["already_imported"]


def held(stack: FakeStack, project: str, job: str) -> list[dict[str, Any]]:
    return list(read_rows(stack.workspace.lines(Workspace(project).input_manifest(job))))


def test_with_refer_images_on_disk_are_uploaded_and_those_in_place_stay_there(
    imported: Import, stack: FakeStack, project: str, archive: FakeObjects, tmp_path: Path
) -> None:
    stack.objects["parts/known.png"] = picture(2)
    (tmp_path / "3.png").write_bytes(picture(3))
    rows = "3.png,0\ns3://archive/2026//1.png,1\ns3://archive/2026//2.png,1\n"
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    found = imported(project, "--format", "csv", tmp_path / "labels.csv", "--refer", "--yes")
    told = found["images"]
    assert (told["in_place"], told["to_upload"], told["to_refer_to"]) == (1, 1, 1)
    assert {row["source-ref"] for row in rows_of(stack, project, found["job"])} == {
        "s3://raw/parts/3.png",
        "s3://archive/2026//1.png",
        "s3://raw/parts/known.png",
    }


def test_a_bucket_that_the_stack_does_not_refer_to_is_refused_with_the_parameter_to_set(
    loupe: Loupe, stack: FakeStack, project: str, archive: FakeObjects
) -> None:
    stack.other_buckets["photos"] = FakeObjects("photos")
    stack.not_referred.add("archive")
    before = everything(stack)
    result = loupe("import", project, *REFER, "--yes", exit_code=1)
    assert "ReferredBuckets=archive,photos" in result.stderr
    assert everything(stack) == before
    assert stack.referred == []


def test_a_bucket_of_another_region_is_refused(
    loupe: Loupe, stack: FakeStack, project: str, archive: FakeObjects
) -> None:
    stack.regions["archive"] = "us-west-2"
    result = loupe("import", project, *REFER, "--yes", exit_code=1)
    assert "archive is in us-west-2, and the stack in eu-west-1" in result.stderr
    assert stack.referred == []


def test_an_import_that_refers_goes_on_where_it_was_interrupted_and_nothing_is_half_imported(
    imported: Import, loupe: Loupe, stack: FakeStack, project: str, archive: FakeObjects
) -> None:
    stack.unsound.add("s3://archive/2026//2.png")
    result = loupe("import", project, *REFER, "--yes", exit_code=1)
    assert "s3://archive/2026//2.png: its checksum is wrong" in result.stderr
    assert not stack.jobs.records
    stack.unsound.clear()
    stack.not_referred.add("archive")
    result = loupe("import", project, *REFER[:-1], "--yes", exit_code=1)
    assert "ReferredBuckets=archive" in result.stderr
    stack.not_referred.clear()
    found = imported(project, *REFER[:-1], "--yes")
    assert found["images"]["to_refer_to"] == 2
    assert len(rows_of(stack, project, found["job"])) == 2


def test_a_referred_image_that_is_never_registered_is_named_with_what_may_be_wrong(
    loupe: Loupe, stack: FakeStack, project: str, archive: FakeObjects
) -> None:
    stack.unregistered.add("s3://archive/2026//2.png")
    result = loupe("import", project, *REFER, "--yes", exit_code=1)
    assert "for 10 minutes, s3://archive/2026//2.png for one" in result.stderr
    assert "may be gone, or the stack's roles may not read it" in result.stderr
    assert not stack.jobs.records


def test_unknown_labels_come_with_the_way_to_mend_them(loupe: Loupe, project: str, table: Path) -> None:
    (table / "labels.csv").write_text("file,label\na.png,00\nb.png,1\n")
    result = loupe("import", project, "--format", "csv", table, "--yes", exit_code=1)
    assert "Unknown label '00' of 1 images: --rename '00=0'" in result.stderr
    result = loupe("import", project, "--format", "csv", table, "--rename", "00=0", "--yes")
    assert "Imported 2 labels" in result.stdout


def test_all_faults_are_told_of_and_nothing_is_imported_unless_they_are_skipped(
    loupe: Loupe, stack: FakeStack, project: str, table: Path
) -> None:
    (table / "labels.csv").write_text("file,label\na.png,0\na.png,1\nmissing.png,1\nb.png\ndeep er/ü.png,1\n")
    before = everything(stack)
    result = loupe("import", project, "--format", "csv", table, "--yes", exit_code=1)
    assert everything(stack) == before
    assert "labels.csv, line 3: a.png has the label '0' in line 2" in result.stderr
    assert "labels.csv, line 4: there is no image 'missing.png'" in result.stderr
    assert "labels.csv, line 5: 1 columns, but the first line names 2" in result.stderr
    result = loupe("import", project, "--format", "csv", table, "--yes", "--skip-invalid")
    assert "Imported 1 labels" in result.stdout


def test_nothing_is_imported_if_registration_rejects_an_image_unless_it_may_be_skipped(
    loupe: Loupe, imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    stack.unsound = {"parts/a.png"}
    result = loupe("import", project, "--format", "csv", table, "--yes", exit_code=1)
    assert "rejected 1 of 3 images: parts/a.png: its checksum is wrong" in result.stderr
    assert "Nothing is imported" in result.stderr
    [job] = stack.workspace.list_folders(Workspace(project).jobs)
    assert not stack.workspace.exists(Workspace(project).output_manifest(job))
    assert not stack.jobs.records
    found = imported(project, "--format", "csv", table, "--yes", "--skip-invalid")
    assert found["job"] == job
    assert found["rejected"] == {"parts/a.png": "its checksum is wrong"}
    assert len(rows_of(stack, project, job)) == 2


def test_an_import_of_which_registration_rejects_all_images_is_never_whole(
    loupe: Loupe, stack: FakeStack, project: str, table: Path
) -> None:
    stack.unsound = {"parts/a.png", "parts/b.png", "parts/deep er/ü.png"}
    words = ("import", project, "--format", "csv", table, "--yes", "--skip-invalid")
    assert "rejected 3 of 3 images" in loupe(*words, exit_code=1).stderr
    assert not [key for key in stack.workspace.content if key.endswith("output.manifest")]
    assert not stack.jobs.records


def test_images_whose_event_was_lost_are_asked_for(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    stack.unregistered = {"parts/a.png"}
    found = imported(project, "--format", "csv", table, "--yes")
    assert stack.reconciled == [project]
    assert len(rows_of(stack, project, found["job"])) == 3


def test_labels_that_are_there_are_left_alone_unless_they_differ(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    digests = [row[SHA256] for row in rows_of_import(imported, stack, project, table)]
    lines = [
        {"sha256": digests[0], "label": "0", "labeled_at": "2026-05-04T10:00:00+00:00", "job": "j"},
        {"sha256": digests[1], "label": "0", "labeled_at": "2026-05-04T10:00:00+00:00", "job": "j"},
    ]
    stack.workspace.content.clear()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    stack.workspace.write(Workspace(project).labels("j"), text.encode())
    found = imported(project, "--format", "csv", table, "--yes")
    assert (found["new"], found["replaced"], found["same"]) == (1, 1, 1)
    assert [row[SHA256] for row in rows_of(stack, project, found["job"])] == digests[1:]


def rows_of_import(imported: Import, stack: FakeStack, project: str, table: Path) -> list[dict[str, Any]]:
    return rows_of(stack, project, imported(project, "--format", "csv", table, "--yes")["job"])


def test_as_test_designates_the_images_of_the_job(
    imported: Import, stack: FakeStack, project: str, table: Path
) -> None:
    found = imported(project, "--format", "csv", table, "--as-test", "--yes")
    card = json.loads(stack.workspace.read(f"{Workspace(project).job(found['job'])}/job.json"))
    assert (card["provider"], card["split"]) == ("import", "test")


def test_yolo_folders_are_read_as_they_are(
    imported: Import, stack: FakeStack, bolts: str, tmp_path: Path
) -> None:
    for part in ("images/train", "labels/train"):
        (tmp_path / "set" / part).mkdir(parents=True)
    (tmp_path / "set/data.yaml").write_text("names: [nut, bolt]\n")
    (tmp_path / "set/images/train/1.png").write_bytes(picture(1, 40, 20))
    (tmp_path / "set/labels/train/1.txt").write_text("1 0.5 0.5 0.25 0.5\r\n")
    found = imported(bolts, "--format", "yolo", tmp_path / "set", "--yes")
    [row] = rows_of(stack, bolts, found["job"])
    assert row["boxes"]["annotations"] == [{"class_id": 0, "left": 15, "top": 5, "width": 10, "height": 10}]


def test_a_format_that_cannot_hold_the_task_is_refused(loupe: Loupe, project: str, table: Path) -> None:
    result = loupe("import", project, "--format", "voc", table, exit_code=1)
    assert "use manifest, coco, yolo or csv" in result.stderr


def test_more_images_than_the_stack_tells_of_at_a_time(
    imported: Import, stack: FakeStack, project: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,label\n" + "".join(f"{number:04d}.png,{number % 2}\n" for number in range(1_203))
    )
    for number in range(1_203):
        stack.objects[f"parts/{number:04d}.png"] = picture(number, 40 + number // 256)
    found = imported(project, "--format", "csv", tmp_path / "labels.csv", "--yes")
    assert len(rows_of(stack, project, found["job"])) == 1_203


@pytest.mark.parametrize("place", ["s3://acme/set", "s3://acme/set/"])
def test_a_prefix_in_s3_is_a_folder(imported: Import, stack: FakeStack, bolts: str, place: str) -> None:
    other = stack.other_buckets["acme"] = FakeObjects("acme")
    other.write("set/data.yaml", b"names: [nut, bolt]\n")
    other.write("set/images/train/1.png", picture(1, 40, 20))
    other.write("set/labels/train/1.txt", b"1 0.5 0.5 0.25 0.5\r\n")
    other.write("settings/2.txt", b"of something else")
    found = imported(bolts, "--format", "yolo", place, "--yes")
    assert found["images"]["to_copy"] == 1
    [row] = rows_of(stack, bolts, found["job"])
    assert row["source-ref"] == "s3://raw/bolts/images/train/1.png"
    assert row["boxes"]["annotations"] == [{"class_id": 0, "left": 15, "top": 5, "width": 10, "height": 10}]
