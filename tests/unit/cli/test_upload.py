import hashlib
import json
import os
from pathlib import Path

import pytest

from cli.stack import PART_BYTES
from cli.upload import Uploader, UploadReport, etag_of, find_images
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep er").mkdir(parents=True)
    for name in ("a.jpg", "B.PNG", "deep er/ü +%.jpeg"):
        (folder / name).write_bytes(name.encode())
    (folder / "notes.txt").write_text("no image")
    return folder


def test_stores_all_images_below_the_folder_and_names_the_rest(
    loupe: Loupe, stack: FakeStack, project: str, photos: Path
) -> None:
    result = loupe("upload", project, photos, "--json")
    assert sorted(stack.puts) == ["parts/B.PNG", "parts/a.jpg", "parts/deep er/ü +%.jpeg"]
    summary = json.loads(result.stdout)
    assert (summary["stored"], summary["present"]) == (3, 0)
    assert [each["file"] for each in summary["left_out"]] == [str(photos / "notes.txt")]


def test_prefix_is_a_folder_of_the_project(
    loupe: Loupe, stack: FakeStack, project: str, photos: Path
) -> None:
    loupe("upload", project, photos, "--prefix", "/monday/")
    assert "parts/monday/a.jpg" in stack.puts


def test_goes_on_where_it_stopped(loupe: Loupe, stack: FakeStack, project: str, photos: Path) -> None:
    loupe("upload", project, photos)
    stack.puts.clear()
    (photos / "a.jpg").write_bytes(b"A.jpg")
    (photos / "new.jpg").write_bytes(b"new")
    summary = json.loads(loupe("upload", project, photos, "--json").stdout)
    assert sorted(stack.puts) == ["parts/a.jpg", "parts/new.jpg"]
    assert (summary["stored"], summary["present"]) == (2, 2)


def test_where_etags_say_nothing_the_size_decides(
    loupe: Loupe, stack: FakeStack, project: str, photos: Path
) -> None:
    stack.encrypts_with_kms = True
    loupe("upload", project, photos)
    stack.puts.clear()
    loupe("upload", project, photos)
    assert stack.puts == []


def test_a_file_that_cannot_be_read_fails_alone(stack: FakeStack, photos: Path) -> None:
    images, _ = find_images(photos, "parts/")
    (photos / "a.jpg").unlink()
    report = Uploader(stack, [], 2).run(images, lambda _: None)
    assert report.stored == 2
    assert [Path(each.path).name for each in report.failed] == ["a.jpg"]


def test_ctrl_c_ends_it_in_order(stack: FakeStack, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03d}.png").write_bytes(b"x")
    images, _ = find_images(tmp_path, "parts/")

    def interrupt(report: UploadReport) -> None:
        raise KeyboardInterrupt

    report = Uploader(stack, [], 2).run(images, interrupt)
    assert report.stopped
    assert len(stack.puts) < 100


def test_names_that_cannot_be_keys_are_left_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad-\xff.png")).write_bytes(b"x")
    deep = tmp_path.joinpath(*["n" * 250] * 4)
    deep.mkdir(parents=True)
    (deep / "image.png").write_bytes(b"x")
    images, left_out = find_images(tmp_path, "parts/" + "p" * 30 + "/")
    assert images == []
    assert len(left_out) == 2


def test_etag_of_a_big_file_is_that_of_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "big.png"
    first, second = b"a" * PART_BYTES, b"b" * 10
    file.write_bytes(first + second)
    parts = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in (first, second))
    assert etag_of(file, None) == f"{hashlib.md5(parts, usedforsecurity=False).hexdigest()}-2"


def test_an_unknown_project_is_refused_with_close_names(loupe: Loupe, project: str, photos: Path) -> None:
    assert "Did you mean parts?" in loupe("upload", "part", photos, exit_code=1).stderr
