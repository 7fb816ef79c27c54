"""The page of a dataset version: what it counts, and that it stands for itself."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from loupe.domain.datasets.measures import Measures, size_range
from loupe.domain.datasets.report import report, report_of
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import NotFound
from loupe.domain.label_attributes import Label
from loupe.domain.label_values import Box, Boxes, OneLabel
from tests.fakes.objects import FakeObjects
from tests.unit.training.world import NAMES, PROJECT, World, execution

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CARD = DatasetCard(
    version="0002",
    task="image-classification",
    labels=("a", "b"),
    created_at=NOON,
    previous_version="0001",
    jobs=("digits-1", "digits-2"),
    new_labels=4,
    images={"train": 10, "validation": 2, "test": 3},
    counts={"train": {"a": 6, "b": 4}, "validation": {"a": 1, "b": 1}, "test": {"a": 2, "b": 1}},
    without={"train": 0, "validation": 0, "test": 0},
    left_out={"object is gone or was replaced": 2},
    split_rule="70/15/15",
)
BEFORE = replace(
    CARD,
    version="0001",
    previous_version=None,
    labels=("a", "c"),
    jobs=("digits-1",),
    images={"train": 8, "validation": 2, "test": 4},
    counts={"train": {"a": 6, "c": 2}, "validation": {"a": 1, "c": 1}, "test": {"a": 2, "c": 2}},
)


class Rows(HTMLParser):
    """Cells of the tables below each heading, and everything that a page could load from elsewhere."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self._heading = ""
        self._open = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.tags.add(tag)
        self.loaded += [name for name, _ in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag == "h2":
            self._heading = ""
        if tag == "tr":
            self.rows.setdefault(self._heading, []).append([])

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, text: str) -> None:
        if self._open == "h2":
            self._heading += text
        if self._open in ("th", "td"):
            self.rows[self._heading][-1].append(text)


def of(value: OneLabel | Boxes, job: str = "digits-1", *, is_human: bool = True) -> Label:
    return Label(value, (0.0,) * len(value.names), NOON, is_human, job)


def test_labels_are_counted_by_split() -> None:
    page = Rows(report(PROJECT, CARD, BEFORE, Measures()))
    assert page.rows["Images by label"][1:] == [["a", "6", "1", "2"], ["b", "4", "1", "1"]]


def test_images_without_any_label_have_a_row_where_there_are_some() -> None:
    card = replace(CARD, without={"train": 3, "validation": 0, "test": 1})
    page = Rows(report(PROJECT, card, BEFORE, Measures()))
    assert page.rows["Images by label"][-1] == ["none of them", "3", "0", "1"]


def test_what_was_left_out_and_what_changed_is_told() -> None:
    page = Rows(report(PROJECT, CARD, BEFORE, Measures()))
    assert page.rows["Left out"][1] == ["object is gone or was replaced", "2"]
    changes = page.rows["What changed since version 0001"][1:]
    assert changes == [
        ["b", "+4", "+1", "+1"],
        ["c", "\N{MINUS SIGN}2", "\N{MINUS SIGN}1", "\N{MINUS SIGN}2"],
    ]
    text = report(PROJECT, CARD, BEFORE, Measures()).decode()
    assert "Label added: b." in text
    assert "Label given up: c." in text


def test_dimensions_and_jobs_are_those_of_the_rows() -> None:
    measures = Measures()
    measures.add("train", of(OneLabel("a")), (64, 48))
    measures.add("train", of(OneLabel("a")), (65, 65))
    measures.add("test", of(OneLabel("b"), "digits-2", is_human=False), (4000, 6000))
    page = Rows(report(PROJECT, CARD, BEFORE, measures))
    sizes = {row[0]: row[1] for row in page.rows["Dimensions of images"][1:]}
    assert sizes == {
        "33 to 64 px": "1",
        "65 to 128 px": "1",
        "129 to 256 px": "0",
        "257 to 512 px": "0",
        "513 to 1,024 px": "0",
        "1,025 to 2,048 px": "0",
        "2,049 to 4,096 px": "0",
        "4,097 to 8,192 px": "1",
    }
    assert page.rows["Labels by job"][1:] == [["digits-1", "2"], ["digits-2", "1"]]
    text = report(PROJECT, CARD, BEFORE, measures).decode()
    assert "4,000 by 6,000 px" in text
    assert "<dt>Labeled by no person</dt><dd>1</dd>" in text


def test_boxes_are_counted_and_measured() -> None:
    measures = Measures()
    boxes = (Box("a", 0, 0, 10, 17.5), Box("a", 0, 0, 0.5, 0.5), Box("b", 5, 5, 100, 20))
    measures.add("train", of(Boxes(boxes)), (640, 480))
    measures.add("test", of(Boxes(())), (640, 480))
    page = Rows(report(PROJECT, replace(CARD, task="bounding-box"), BEFORE, measures))
    assert page.rows["Boxes by label"][1:] == [["a", "2", "0", "0"], ["b", "1", "0", "0"]]
    assert [row for row in page.rows["Boxes an image"][1:] if row[1] != "0"] == [["0", "1"], ["3 to 5", "1"]]
    sides = {row[0]: row[1] for row in page.rows["Longer sides of boxes"][1:]}
    assert (sides["1 px"], sides["17 to 32 px"], sides["65 to 128 px"]) == ("1", "1", "1")


@pytest.mark.parametrize(("power", "told"), [(0, "1 px"), (1, "2 px"), (2, "3 to 4 px"), (7, "65 to 128 px")])
def test_ranges_of_sizes_are_told_in_pixels(power: int, told: str) -> None:
    assert size_range(power) == told


def test_the_page_needs_nothing_else_and_shows_all_text_as_it_is() -> None:
    evil = '<script src="https://evil.example/x.js">alert(1)</script>&"\''
    card = replace(
        CARD,
        labels=(evil, "b"),
        jobs=(evil,),
        counts={split: {evil: 1, "b": 1} for split in CARD.counts},
        left_out={evil: 1},
        split_rule=evil,
    )
    text = report(PROJECT, card, BEFORE, Measures())
    page = Rows(text)
    assert page.loaded == []
    assert "script" not in page.tags
    assert page.rows["Images by label"][1][0] == evil
    assert page.rows["Labels by job"][1][0] == evil
    assert not re.search(r"url\(|@import|https?://(?!evil)", text.decode())
    assert "default-src 'none'" in text.decode()


def label_both(world: World) -> None:
    world.label("digits-1", "a", [f"a{number}" for number in range(10)])
    world.label("digits-2", "b", [f"b{number}" for number in range(10)])


def test_each_version_is_written_with_its_report_which_can_be_made_again() -> None:
    world = World()
    label_both(world)
    world.turn()
    world.label("digits-3", "b", [f"c{number}" for number in range(4)])
    version = world.build(execution("second")).version or ""
    for each in ("0001", version):
        assert report_of(world.workspace, PROJECT, each) == world.workspace.read(NAMES.dataset_report(each))
    assert b"What changed since version 0001" in world.workspace.read(NAMES.dataset_report(version))


@dataclass
class DyingWorkspace(FakeObjects):
    """Dies as somebody writes to that key."""

    fatal: str = ""

    def write_once(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        if key == self.fatal:
            raise RuntimeError("died")
        super().write_once(key, content, content_type)


@pytest.mark.parametrize("fatal", [NAMES.dataset_report("0001"), NAMES.dataset_card("0001")])
def test_a_death_between_report_and_card_costs_a_number_and_nothing_else(fatal: str) -> None:
    world = World()
    world.workspace = DyingWorkspace("workspace", others={"raw": world.raw}, fatal=fatal)
    label_both(world)
    with pytest.raises(RuntimeError, match="died"):
        world.build()
    assert not world.workspace.exists(NAMES.dataset_card("0001"))
    assert world.build().version == "0002"
    assert world.workspace.exists(NAMES.dataset_report("0002"))


def test_without_a_version_there_is_no_report() -> None:
    with pytest.raises(NotFound, match="no dataset version '0007'"):
        report_of(World().workspace, PROJECT, "0007")
