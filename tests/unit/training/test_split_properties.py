"""What holds for every sequence of jobs, near-duplicates, corrections and deletions."""

import json
from collections import defaultdict
from itertools import combinations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.training.world import DISTANCE, NAMES, PROJECT, World, execution

LABELS = ("a", "b", "c")
Split = dict[str, str]


class Loop(RuleBasedStateMachine):
    """A user who uploads, labels, corrects and deletes in any order, and trains now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.configure(labels=LABELS)
        self.names = 0
        self.labels: dict[str, str] = {}
        self.looks: dict[str, int] = {}
        self.gone: set[str] = set()
        self.splits: list[Split] = []

    @rule(labels=st.lists(st.sampled_from(LABELS), min_size=1, max_size=12))
    def label_new_images(self, labels: list[str]) -> None:
        self._label({self._upload(): label for label in labels})

    @precondition(lambda self: self.labels)
    @rule(data=st.data(), flips=st.sets(st.integers(0, 255), max_size=DISTANCE))
    def label_a_near_duplicate(self, data: st.DataObject, flips: set[int]) -> None:
        original = data.draw(st.sampled_from(sorted(self.labels)))
        looks = self.looks[original] ^ sum(1 << bit for bit in flips)
        self._label({self._upload(looks): self.labels[original]})

    @precondition(lambda self: self.labels)
    @rule(data=st.data(), label=st.sampled_from(LABELS))
    def correct_a_label(self, data: st.DataObject, label: str) -> None:
        self._label({data.draw(st.sampled_from(sorted(self.labels))): label})

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
            self._check_labels(split, version)
            self.splits.append(split)

    def _upload(self, looks: int | None = None) -> str:
        self.names += 1
        digest = self.world.upload(str(self.names), looks)
        self.looks[digest] = int(digest, 16) if looks is None else looks
        return digest

    def _label(self, labels: dict[str, str]) -> None:
        job = f"digits-{self.world.clock():%Y%m%dt%H%M%S}"
        self.world.finish(job, labels)
        self.labels |= labels

    def _check_labels(self, split: Split, version: str) -> None:
        """A label whose images were all new, and look like nothing else, is in each split."""
        earlier = {digest for known in self.splits for digest in known}
        images = defaultdict(list)
        for digest in split:
            images[self.labels[digest]].append(digest)
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
            assert lost <= self.gone

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
            accepted = {
                line["sha256"]: line["label"]
                for job in card.jobs
                for line in map(json.loads, self.world.workspace.lines(NAMES.labels(job)))
            }
            for split in ("train", "validation", "test"):
                for row in self.world.rows(version, split):
                    digest = row["image-sha256"]
                    assert row["label-metadata"]["class-name"] == accepted[digest]


TestLoop = Loop.TestCase
TestLoop.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
