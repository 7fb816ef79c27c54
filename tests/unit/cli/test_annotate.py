import json
from pathlib import Path

import pytest

from cli.annotate import AnnotationReport, Annotator, match_keys, read_answers
from cli.errors import CommandFault
from cli.stack import StoredObject
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import WORKER, FakePortal, FakeStack


def stored(*keys: str) -> list[StoredObject]:
    return [StoredObject(key, 1, key) for key in keys]


def fill(stack: FakeStack, loupe: Loupe, count: int) -> dict[str, str]:
    """A project with one open job of `count` images; the label of each by key."""
    loupe(
        *("project", "create", "digits", "--task", "image-classification"),
        *("--label", "0", "--label", "1", "--batch-size", str(count)),
    )
    labels = {}
    for number in range(count):
        key = f"digits/{number:04d}.png"
        stack.put_image(key, Path(key), str(number).encode())
        labels[key] = str(number % 2)
    return labels


def labels_given(stack: FakeStack) -> dict[str, str | None]:
    return {task.key: task.label for job in stack.projects_by_name["digits"].jobs for task in job}


def test_answers_every_open_task(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    labels = fill(stack, loupe, 75)
    file = tmp_path / "labels.csv"
    rows = [f"{key.removeprefix('digits/')},{label}" for key, label in labels.items()]
    file.write_text("\n".join(["file,label", *rows]))
    summary = json.loads(loupe("annotate", "digits", file, "--json").stdout)
    assert summary["answered"] == 75
    assert summary["job"]["answered"] == 75
    assert labels_given(stack) == labels


def answer(portal: FakePortal, labels: dict[str, str], parallel: int = 3) -> AnnotationReport:
    return Annotator(portal, "digits", labels, parallel, lambda _: None).run(lambda _: None)


@pytest.mark.parametrize("missing", ["first", "last"])
def test_leaves_tasks_that_the_file_lacks_to_others(loupe: Loupe, stack: FakeStack, missing: str) -> None:
    labels = fill(stack, loupe, 90)
    stack.status("digits")
    keys = sorted(labels)
    left = keys[:45] if missing == "first" else keys[-45:]
    portal = FakePortal(stack, "worker")
    report = answer(portal, {key: label for key, label in labels.items() if key not in left})
    assert (report.answered, report.left) == (45, 45)
    assert portal.given_back
    assert all(task.holder is None for task in stack.projects_by_name["digits"].jobs[0] if task.label is None)


def test_a_task_that_somebody_else_answered_is_counted_and_passed_over(
    loupe: Loupe, stack: FakeStack
) -> None:
    labels = fill(stack, loupe, 30)
    stack.status("digits")
    portal = FakePortal(stack, "worker")
    portal.overtaken = {"digits/0003.png", "digits/0029.png"}
    report = answer(portal, labels)
    assert (report.answered, report.overtaken) == (28, 2)


def test_goes_on_where_it_stopped(loupe: Loupe, stack: FakeStack) -> None:
    labels = fill(stack, loupe, 30)
    stack.status("digits")
    portal = FakePortal(stack, "worker")

    def stop(report: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Annotator(portal, "digits", labels, 2, lambda _: None).run(stop)
    assert portal.given_back == 1
    answer(portal, labels)
    assert labels_given(stack) == labels


def test_looks_again_where_the_list_of_free_tasks_lags_behind(loupe: Loupe, stack: FakeStack) -> None:
    labels = fill(stack, loupe, 5)
    stack.status("digits")
    portal = FakePortal(stack, "worker")
    job = stack.projects_by_name["digits"].jobs[0]
    for task in job:
        task.holder = "listed late"

    def appear(seconds: float) -> None:
        for task in job:
            task.holder = None

    report = Annotator(portal, "digits", labels, 2, appear).run(lambda _: None)
    assert report.answered == 5


def test_does_not_wait_for_tasks_that_other_people_hold(loupe: Loupe, stack: FakeStack) -> None:
    labels = fill(stack, loupe, 5)
    stack.status("digits")
    for task in stack.projects_by_name["digits"].jobs[0][:3]:
        task.holder = "mara"
    assert answer(FakePortal(stack, "worker"), labels).answered == 2


def test_without_open_tasks_nothing_is_answered(loupe: Loupe, project: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("file,label\na.png,1\n")
    assert json.loads(loupe("annotate", project, file, "--json").stdout)["answered"] == 0


def test_wrong_password_is_a_fault(loupe: Loupe, project: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("file,label\na.png,1\n")
    result = loupe("annotate", project, file, "--worker", WORKER.name, "--password", "wrong", exit_code=1)
    assert "no worker" in result.stderr


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.png", "p/a.png"),
        ("p/a.png", "p/a.png"),
        ("x/b.png", "p/x/b.png"),
        ("b.png", "p/x/b.png"),
        ("/home/me/photos/x/b.png", "p/x/b.png"),
        ("./a.png", "p/a.png"),
        ("C:\\photos\\a.png", "p/a.png"),
        ("c d.png", "p/deep/c d.png"),
    ],
)
def test_a_file_is_found_by_key_path_or_bare_name(name: str, key: str) -> None:
    matched = match_keys({name: "1"}, "p", stored("p/a.png", "p/x/b.png", "p/deep/c d.png"))
    assert matched.labels == {key: "1"}


def test_a_bare_name_of_several_images_is_refused() -> None:
    with pytest.raises(CommandFault, match=r"could be p/x/b\.png or p/y/b\.png"):
        match_keys({"b.png": "1"}, "p", stored("p/x/b.png", "p/y/b.png"))


def test_a_path_means_the_longest_key_at_its_end() -> None:
    assert match_keys({"/in/x/b.png": "1"}, "p", stored("p/b.png", "p/x/b.png")).labels == {"p/x/b.png": "1"}


def test_images_with_the_same_bytes_share_the_label() -> None:
    twins = [StoredObject("p/a.png", 3, "e"), StoredObject("p/copy of a.png", 3, "e")]
    assert match_keys({"copy of a.png": "1"}, "p", twins).labels == {"p/copy of a.png": "1", "p/a.png": "1"}


def test_names_of_no_image_are_told() -> None:
    assert match_keys({"z.png": "1"}, "p", stored("p/a.png")).unmatched == ["z.png"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,label\na,1\n", "columns"),
        ("file,label\na,7\n", "line 2: '7' is no label"),
        ("file,label\na,1\na,0\n", "line 3: a has the label '1' further up"),
        ("file,label\na,\n", "line 2"),
        ("file,label\n", "no rows"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(CommandFault, match=told):
        read_answers(file, ["0", "1"])


def test_coco_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CommandFault, match="COCO"):
        read_answers(tmp_path / "boxes.json", ["0"])


def test_names_with_commas_quotes_and_newlines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('file,label\n"a, ""b""\nc.png",1\n', encoding="utf-8-sig")
    assert read_answers(file, ["0", "1"]) == {'a, "b"\nc.png': "1"}
