"""What an import would do."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.interchange.plan import Current, Plan, digest_of, make_plan
from loupe.domain.interchange.records import Findings, Labeled
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import ProjectConfig

CONFIG = ProjectConfig(task="image-classification", labels=("ok", "dent"))
MAY, JUNE = datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 6, 4, tzinfo=UTC)
SIZE = (40, 30)


def labeled(label: str, line: int = 1, at: datetime | None = None) -> Labeled:
    return Labeled(f"{line}.jpg", OneLabel(label), "l.csv", line, labeled_at=at)


def plan(
    found: Iterable[tuple[Labeled, str]], current: dict[str, Current] | None = None, **options: Any
) -> tuple[Plan, Findings]:
    findings = Findings()
    settings = {"renamed": {}, "as_test": False, **options}
    images = ((each, sha256, SIZE) for each, sha256 in found)
    return make_plan(images, CONFIG, current or {}, findings, **settings), findings


def has(label: str, at: datetime = MAY, *, is_test: bool = False) -> Current:
    return Current(digest_of(OneLabel(label)), at, is_test)


def test_the_same_image_twice_with_one_label_counts_once() -> None:
    made, findings = plan([(labeled("ok", 1), "aa"), (labeled("ok", 2), "aa")])
    assert (list(made.images), findings.fault_count) == (["aa"], 0)


def test_the_same_image_with_two_labels_is_a_fault_and_has_none() -> None:
    made, findings = plan([(labeled("ok", 1), "aa"), (labeled("dent", 2), "aa"), (labeled("ok", 3), "aa")])
    assert not made.images
    assert [str(fault) for fault in findings.faults] == [
        "l.csv, line 2: 2.jpg has another label in l.csv, line 1, as 1.jpg"
    ]


def test_of_two_labels_with_their_times_the_newer_counts() -> None:
    made, findings = plan([(labeled("dent", 1, JUNE), "aa"), (labeled("ok", 2, MAY), "aa")])
    assert (made.images["aa"].value, findings.fault_count) == (OneLabel("dent"), 0)


@pytest.mark.parametrize(
    ("known", "label", "at", "counted"),
    [
        (None, "ok", None, {"new": 1}),
        (Current(None, MAY, False), "ok", None, {"new": 1}),
        (has("ok"), "ok", None, {"same": 1}),
        (has("dent"), "ok", None, {"replaced": 1}),
        (has("dent", MAY), "ok", JUNE, {"replaced": 1}),
        (has("dent", JUNE), "ok", MAY, {"outdated": 1}),
    ],
)
def test_labels_are_compared_with_those_that_are_there(
    known: Current | None, label: str, at: datetime | None, counted: dict[str, int]
) -> None:
    made, _ = plan([(labeled(label, at=at), "aa")], {"aa": known} if known else {})
    names = ("new", "same", "replaced", "outdated")
    assert {name: getattr(made, name) for name in names if getattr(made, name)} == counted
    assert bool(made.to_import) == bool({"new", "replaced"} & counted.keys())


@pytest.mark.parametrize(
    ("known", "imported"), [(has("ok"), True), (has("ok", is_test=True), False), (has("dent", JUNE), True)]
)
def test_an_image_that_shall_be_in_test_is_imported_though_its_label_stays(
    known: Current, imported: bool
) -> None:
    made, _ = plan([(labeled("ok", at=MAY), "aa")], {"aa": known}, as_test=True)
    assert bool(made.to_import) is imported


def test_labels_that_the_project_lacks_are_counted_by_images() -> None:
    made, findings = plan(
        [(labeled("OK", 1), "aa"), (labeled("OK", 2), "bb"), (labeled("scratch", 3), "cc")],
        renamed={"scratch": "dent"},
    )
    assert made.unknown_labels == {"OK": 2}
    assert made.images["cc"].value == OneLabel("dent")
    assert findings.fault_count == 0


def test_a_box_beyond_the_edge_is_a_fault_of_its_line() -> None:
    boxes = ProjectConfig(task="bounding-box", labels=("bolt",))
    findings = Findings()
    found = Labeled("1.jpg", Boxes((Box("bolt", 30, 0, 12, 5),)), "l.csv", 4)
    make_plan([(found, "aa", SIZE)], boxes, {}, findings, renamed={}, as_test=False)
    assert str(findings.faults[0]).startswith("l.csv, line 4: 1.jpg: boxes[0] reaches beyond the image")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SeveralLabels(("a", "b")), SeveralLabels(("b", "a"))),
        (
            Boxes((Box("a", 1, 2, 3, 4), Box("b", 1, 2, 3, 4))),
            Boxes((Box("b", 1.0, 2.0, 3.0, 4.0), Box("a", 1, 2, 3, 4))),
        ),
    ],
)
def test_values_that_say_the_same_have_one_digest(one: LabelValue, other: LabelValue) -> None:
    assert digest_of(one) == digest_of(other)


def test_the_fingerprint_tells_imports_apart_and_not_their_order() -> None:
    rows = [(labeled("ok", 1), "aa"), (labeled("dent", 2), "bb")]
    one, _ = plan(rows)
    turned, _ = plan(rows[::-1])
    other, _ = plan(rows[:1])
    task = CONFIG.task
    assert one.fingerprint(task, as_test=False) == turned.fingerprint(task, as_test=False)
    prints = {each.fingerprint(task, as_test=as_test) for each in (one, other) for as_test in (True, False)}
    assert len(prints) == 4
