import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.annotate import AnnotationReport, Annotator, match_keys, read_answers
from cli.errors import CommandFault
from cli.stack import Lease, PortalTask, StoredObject
from loupe.domain.interchange.records import Labeled
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import TaskType
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import WORKER, FakePortal, FakeStack


def stored(*keys: str) -> list[StoredObject]:
    return [StoredObject(key, 1, key) for key in keys]


def named(*names: str) -> list[Labeled]:
    """What a file says of these images."""
    return [Labeled(name, OneLabel("1"), "labels.csv", line) for line, name in enumerate(names, start=2)]


def fill(
    stack: FakeStack, loupe: Loupe, count: int, task: TaskType = "image-classification"
) -> dict[str, LabelValue]:
    """A project with one open job of `count` images; a label of each by key."""
    loupe(
        *("project", "create", "digits", "--task", task),
        *("--label", "0", "--label", "1", "--batch-size", str(count)),
    )
    labels: dict[str, LabelValue] = {}
    for number in range(count):
        key = f"digits/{number:04d}.png"
        stack.put_image(key, Path(key), str(number).encode())
        labels[key] = OneLabel(str(number % 2))
    return labels


def labels_given(stack: FakeStack) -> dict[str, LabelValue | None]:
    return {task.key: task.answer for job in stack.projects_by_name["digits"].jobs for task in job}


def test_answers_every_open_task(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    labels = fill(stack, loupe, 75)
    file = tmp_path / "labels.csv"
    rows = [f"{key.removeprefix('digits/')},{label.names[0]}" for key, label in labels.items()]
    file.write_text("\n".join(["file,label", *rows]))
    summary = json.loads(loupe("annotate", "digits", file, "--json").stdout)
    assert summary["answered"] == 75
    assert summary["job"]["answered"] == 75
    assert labels_given(stack) == labels


def annotator(
    portal: FakePortal, labels: dict[str, LabelValue], sleep: Callable[[float], None] = lambda _: None
) -> Annotator:
    def answer_of(task: PortalTask) -> LabelValue | None:
        return labels.get(task["image"]["name"])

    return Annotator(portal, "digits", answer_of, 3, sleep)


def answer(portal: FakePortal, labels: dict[str, LabelValue]) -> AnnotationReport:
    return annotator(portal, labels).run(lambda _: None)


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
    assert all(
        task.holder is None for task in stack.projects_by_name["digits"].jobs[0] if task.answer is None
    )


def test_a_reply_that_comes_late_does_not_turn_progress_back(loupe: Loupe, stack: FakeStack) -> None:
    labels = fill(stack, loupe, 4)
    stack.status("digits")
    portal = OneReplyLate(stack, "worker")
    seen: list[int] = []

    def note(report: AnnotationReport) -> None:
        assert report.job is not None
        seen.append(report.job["answered"])

    report = annotator(portal, labels).run(note)
    assert seen == sorted(seen)
    assert report.job is not None
    assert report.job["answered"] == 4


class OneReplyLate(FakePortal):
    """The reply to the first answer comes after those of all others."""

    def __init__(self, stack: FakeStack, worker: str) -> None:
        super().__init__(stack, worker)
        self._others = threading.Event()

    def annotate(self, project: str, job: str, task: str, value: LabelValue, lease: int) -> Lease:
        reply = super().annotate(project, job, task, value, lease)
        if reply["job"] is not None and reply["job"]["answered"] == 4:
            self._others.set()
        elif task == "000000":
            assert self._others.wait(10)
        return reply


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
        annotator(portal, labels).run(stop)
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

    report = annotator(portal, labels, appear).run(lambda _: None)
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
    matched = match_keys(named(name), "p", stored("p/a.png", "p/x/b.png", "p/deep/c d.png"))
    assert matched.answers.keys() == {key}


def test_a_bare_name_of_several_images_is_refused() -> None:
    with pytest.raises(CommandFault, match=r"could be x/b\.png or y/b\.png"):
        match_keys(named("b.png"), "p", stored("p/x/b.png", "p/y/b.png"))


def test_a_path_means_the_longest_key_at_its_end() -> None:
    matched = match_keys(named("/in/x/b.png"), "p", stored("p/b.png", "p/x/b.png"))
    assert matched.answers.keys() == {"p/x/b.png"}


def test_an_image_that_is_named_twice_and_differently_is_refused() -> None:
    answers = [*named("a.png", "p/a.png"), Labeled("./a.png", OneLabel("0"), "labels.csv", 4)]
    with pytest.raises(CommandFault, match=r"labels\.csv, line 4: p/a\.png has another label in .*, line 2"):
        match_keys(answers, "p", stored("p/a.png"))


def test_images_with_the_same_bytes_share_the_label() -> None:
    twins = [StoredObject("p/a.png", 3, "e"), StoredObject("p/copy of a.png", 3, "e")]
    matched = match_keys(named("copy of a.png"), "p", twins)
    assert matched.answers.keys() == {"p/copy of a.png", "p/a.png"}


def test_names_of_no_image_are_told() -> None:
    assert match_keys(named("z.png"), "p", stored("p/a.png")).unmatched == ["z.png"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,label\na,1\n", "columns file,label"),
        ("file,label\na,7\n", "line 2: '7' is not a label of the project; it has: 0, 1"),
        ("file,label\na,1\na,0\n", "line 3: a has the label '1' in line 2"),
        ("file,label\na,\n", "line 2: the row has no label"),
        ("file,label\n", "no labels"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(CommandFault, match=told):
        read_answers(file, "image-classification", ["0", "1"])


def test_names_with_commas_quotes_and_newlines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('file,label\n"a, ""b""\nc.png",1\n', encoding="utf-8-sig")
    [found] = read_answers(file, "image-classification", ["0", "1"])
    assert (found.image, found.value) == ('a, "b"\nc.png', OneLabel("1"))


def test_several_rows_are_several_labels_and_an_empty_one_is_none(
    loupe: Loupe, stack: FakeStack, tmp_path: Path
) -> None:
    fill(stack, loupe, 3, "multi-label-classification")
    file = tmp_path / "labels.csv"
    file.write_text("file,label\n0000.png,1\n0001.png,\n0000.png,0\n0002.png,0\n")
    assert json.loads(loupe("annotate", "digits", file, "--json").stdout)["answered"] == 3
    assert labels_given(stack) == {
        "digits/0000.png": SeveralLabels(("1", "0")),
        "digits/0001.png": SeveralLabels(()),
        "digits/0002.png": SeveralLabels(("0",)),
    }


def coco(file: Path, **sizes: tuple[int, int]) -> Path:
    """A COCO file in which each of the images has a box of the label 1, and the last one none."""
    images = [
        {"id": number, "file_name": f"{name}.png", "width": size[0], "height": size[1]}
        for number, (name, size) in enumerate(sizes.items())
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": 7, "bbox": [1, 2.5, 4, 5], "iscrowd": 0}
        for number in range(len(images) - 1)
    ]
    categories = [{"id": 7, "name": "1"}, {"id": 3, "name": "0"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def test_boxes_are_cocos(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    fill(stack, loupe, 2, "bounding-box")
    file = coco(tmp_path / "instances_default.json", **{"0000": (8, 8), "0001": (8, 8)})
    assert json.loads(loupe("annotate", "digits", file, "--json").stdout)["answered"] == 2
    assert labels_given(stack) == {
        "digits/0000.png": Boxes((Box("1", 1, 2.5, 4, 5),)),
        "digits/0001.png": Boxes(()),
    }


def test_boxes_of_an_image_of_another_size_are_told_and_their_task_stays_open(
    loupe: Loupe, stack: FakeStack, tmp_path: Path
) -> None:
    fill(stack, loupe, 2, "bounding-box")
    file = coco(tmp_path / "boxes.json", **{"0000": (16, 8), "0001": (8, 8)})
    result = loupe("annotate", "digits", file, exit_code=1)
    assert "1 tasks of digits answered" in result.stdout
    assert "boxes.json, digits/0000.png: it is labeled as an image of 16 by 8 pixels" in result.stderr
    assert labels_given(stack) == {"digits/0000.png": None, "digits/0001.png": Boxes(())}
