"""What holds for every sequence of jobs, near-duplicates, corrections, imports, reviews and deletions."""

import json
from collections import defaultdict
from itertools import combinations
from typing import ClassVar, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from loupe.domain.datasets.labels import label_of_line
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType
from tests.unit.training.world import DISTANCE, NAMES, PROJECT, World, execution

LABELS = ("a", "b", "c")
Split = dict[str, str]


class Loop(RuleBasedStateMachine):
    """A user who uploads, labels, corrects and deletes in any order, and trains now and then."""

    task: ClassVar[TaskType] = "image-classification"
    values: ClassVar[st.SearchStrategy[LabelValue]] = st.sampled_from(LABELS).map(OneLabel)

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.configure(task=self.task, labels=LABELS)
        self.names = 0
        self.labels: dict[str, LabelValue] = {}
        self.looks: dict[str, int] = {}
        self.gone: set[str] = set()
        self.withdrawn: set[str] = set()
        self.designated: set[str] = set()
        self.splits: list[Split] = []

    @rule(data=st.data(), images=st.integers(1, 12))
    def label_new_images(self, data: st.DataObject, images: int) -> None:
        self._label({self._upload(): data.draw(self.values) for _ in range(images)})

    @precondition(lambda self: self.labels)
    @rule(data=st.data(), flips=st.sets(st.integers(0, 255), max_size=DISTANCE))
    def label_a_near_duplicate(self, data: st.DataObject, flips: set[int]) -> None:
        original = data.draw(st.sampled_from(sorted(self.labels)))
        looks = self.looks[original] ^ sum(1 << bit for bit in flips)
        self._label({self._upload(looks): self.labels[original]})

    @precondition(lambda self: self.labels)
    @rule(data=st.data())
    def correct_a_label(self, data: st.DataObject) -> None:
        self._label({data.draw(st.sampled_from(sorted(self.labels))): data.draw(self.values)})

    @precondition(lambda self: set(self.labels) - self.gone)
    @rule(data=st.data())
    def delete_an_object(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(set(self.labels) - self.gone)))
        record = self.world.images.image(PROJECT, digest)
        assert record is not None
        self.world.raw.delete(record.key)
        self.gone.add(digest)

    @rule()
    def take_a_turn(self) -> None:
        before = set(self.world.versions())
        self.world.turn(execution(str(len(self.splits))))
        for version in set(self.world.versions()) - before:
            split = self.world.split(version)
            self._check_version(split, version)
            self.splits.append(split)

    def _upload(self, looks: int | None = None) -> str:
        self.names += 1
        digest = self.world.upload(str(self.names), looks)
        self.looks[digest] = int(digest, 16) if looks is None else looks
        return digest

    def _label(self, labels: dict[str, LabelValue], split: Literal["test"] | None = None) -> None:
        self.world.finish(self._job(), labels, provider="import" if split else "portal", split=split)
        self.labels |= labels
        if split:
            self.designated |= labels.keys()

    def _job(self) -> str:
        return f"digits-{self.world.clock():%Y%m%dt%H%M%S}"

    def _check_version(self, split: Split, version: str) -> None:
        self._check_labels(split, version)

    def _check_labels(self, split: Split, version: str) -> None:
        """A label whose images were all new, and look like nothing else, is in each split."""
        earlier = {digest for known in self.splits for digest in known}
        images = defaultdict(list)
        for digest in split:
            images[self.labels[digest].names].append(digest)
        for label, digests in images.items():
            alone = all(self._is_alone(digest) for digest in digests)
            if len(digests) >= 3 and alone and not earlier.intersection(digests):
                assert {split[digest] for digest in digests} == {"train", "validation", "test"}, label

    def _is_alone(self, digest: str) -> bool:
        looks = self.looks[digest]
        return not any(
            (looks ^ other).bit_count() <= DISTANCE for known, other in self.looks.items() if known != digest
        )

    @invariant()
    def test_never_shrinks_except_where_an_object_is_gone(self) -> None:
        for one, following in zip(self.splits, self.splits[1:], strict=False):
            lost = {
                digest for digest, split in one.items() if split == "test" and following.get(digest) != split
            }
            assert lost <= self.gone | self.withdrawn

    @invariant()
    def no_model_ever_learned_from_a_test_image(self) -> None:
        tested = {digest for split in self.splits for digest in split if split[digest] == "test"}
        learned = {digest for split in self.splits for digest in split if split[digest] != "test"}
        assert not tested & learned

    @invariant()
    def no_two_that_look_alike_are_on_both_sides(self) -> None:
        for split in self.splits[-1:]:
            for one, other in combinations(sorted(split), 2):
                if (self.looks[one] ^ self.looks[other]).bit_count() <= DISTANCE:
                    assert split[one] == split[other]

    @invariant()
    def the_newest_label_of_an_image_counts(self) -> None:
        for version in sorted(self.world.versions())[-1:]:
            card = self.world.card(version)
            newest = {
                line["sha256"]: line
                for job in card.jobs
                for line in map(json.loads, self.world.workspace.lines(NAMES.labels(job)))
            }
            attribute = LABEL_ATTRIBUTES[self.task]
            for split in ("train", "validation", "test"):
                for row in self.world.rows(version, split):
                    label = read_label(row, attribute, self.task, LABELS)
                    assert isinstance(label, Label)
                    assert label.value == label_of_line(newest[row["image-sha256"]], self.task).value


class LoopOfSeveralLabels(Loop):
    """Images have any number of labels, jobs may designate the test set, and reviews withdraw labels."""

    task = "multi-label-classification"
    values = st.sets(st.sampled_from(LABELS)).map(lambda labels: SeveralLabels(tuple(sorted(labels))))

    @rule(data=st.data(), images=st.integers(1, 6))
    def import_test_images(self, data: st.DataObject, images: int) -> None:
        self._label({self._upload(): data.draw(self.values) for _ in range(images)}, split="test")

    @precondition(lambda self: self.labels)
    @rule(data=st.data(), flips=st.sets(st.integers(0, 255), max_size=DISTANCE))
    def import_test_images_like_known_ones(self, data: st.DataObject, flips: set[int]) -> None:
        original = data.draw(st.sampled_from(sorted(self.labels)))
        looks = self.looks[original] ^ sum(1 << bit for bit in flips)
        images = {self._upload(looks), original} if data.draw(st.booleans()) else {self._upload(looks)}
        self._label(dict.fromkeys(images, data.draw(self.values)), split="test")

    @precondition(lambda self: self.labels)
    @rule(data=st.data())
    def withdraw_a_label(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.labels)))
        record = self.world.images.image(PROJECT, digest)
        assert record is not None
        self.world.clock.advance(minutes=1)
        job = self._job()
        line = {
            "sha256": digest,
            "key": record.key,
            "etag": record.etag,
            "phash": record.phash,
            "job": job,
            "withdrawn": True,
            "labeled_at": self.world.clock().isoformat(),
        }
        self.world.workspace.write(NAMES.labels(job), json.dumps(line).encode())
        self.withdrawn.add(digest)
        self.world.clock.advance(minutes=1)

    def _check_version(self, split: Split, version: str) -> None:
        """Once there are designated images, no others join test; those that nobody learned from do."""
        if not self.designated:
            return
        tested = {digest for digest, found in split.items() if found == "test"}
        earlier = {digest for known in self.splits for digest in known if known[digest] == "test"}
        learned = {digest for known in self.splits for digest in known if known[digest] != "test"}
        assert tested <= earlier | self.designated
        assert (self.designated & split.keys()) - learned <= tested
        assert not self.designated & learned & split.keys()


TestLoop = Loop.TestCase
TestLoopOfSeveralLabels = LoopOfSeveralLabels.TestCase
TestLoop.settings = TestLoopOfSeveralLabels.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
