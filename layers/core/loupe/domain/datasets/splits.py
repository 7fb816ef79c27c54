"""Which split an image belongs to: train, validation or test, 70/15/15 for each label.

Where some job said which images are the test set, no others join it, and the rest is split 85/15.

Scores of two models can be compared only on the same test set, and only when neither learned from it. So an
image that was once in test stays there, an image that a model learned from never joins it, and images that
look the same (a group of near-duplicates) are on one side together.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

_HELD_OUT_SHARE = 0.15

_NEED: tuple[Split, ...] = ("train", "test", "validation")
"""Which split comes first when images are few."""
_NEED_WITHOUT_TEST: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that is to be in a dataset version. `stratum` is the label by which it is spread over the
    splits: of several labels its rarest. `earlier` is its split in earlier versions, None if it is new;
    `group` is shared by images that look the same; `designated` is whether it is meant for the test set."""

    image: int
    sha256: bytes
    stratum: int
    group: int
    earlier: Split | None
    designated: bool = False

    @property
    def was_learned(self) -> bool:
        """Whether some model may have learned from it."""
        return self.earlier in ("train", "validation")


def assign(
    candidates: Sequence[Candidate],
    earlier_splits: Mapping[int, frozenset[Split]],
    test_is_designated: bool = False,
) -> dict[int, Split | None]:
    """The split of each image; None for one that must be left out: as a near-duplicate of a test image, or as
    one that is meant for the test set and was learned from.

    `earlier_splits` tells, for groups that earlier versions knew, which splits their members were in, also
    those members that are no candidates any more. With `test_is_designated` no other new images join test
    than those that are.
    """
    splits: dict[int, Split | None] = {}
    counts: dict[int, Counter[Split]] = defaultdict(Counter)
    new_groups: dict[int, list[Candidate]] = defaultdict(list)
    tested = {group for group, earlier in earlier_splits.items() if "test" in earlier}
    tested.update(each.group for each in candidates if each.designated and not each.was_learned)
    for candidate in candidates:
        earlier = earlier_splits.get(candidate.group)
        if candidate.group in tested:
            joins = candidate.designated or candidate.earlier == "test" or not test_is_designated
            split: Split | None = "test" if joins and not candidate.was_learned else None
        elif not earlier:
            new_groups[candidate.group].append(candidate)
            continue
        else:
            split = _split_beside(candidate, earlier)
        splits[candidate.image] = split
        if split is not None:
            counts[candidate.stratum][split] += 1
    need = _NEED_WITHOUT_TEST if test_is_designated else _NEED
    for stratum, groups in sorted(_by_stratum(new_groups.values()).items()):
        total = sum(counts[stratum][split] for split in need)
        total += sum(_of_stratum(group, stratum) for group in groups)
        for left, group in _countdown(sorted(groups, key=_order)):
            split = _fullest_need(total, need, counts[stratum], left)
            for candidate in group:
                splits[candidate.image] = split
                counts[candidate.stratum][split] += 1
    return splits


def _split_beside(candidate: Candidate, earlier: frozenset[Split]) -> Split | None:
    """The split of an image whose group was in earlier versions, but not in test."""
    if candidate.designated:
        return None
    # Two groups that grew together may have been in train and in validation.
    return "train" if "train" in earlier else "validation"


def _by_stratum(groups: Iterable[list[Candidate]]) -> dict[int, list[list[Candidate]]]:
    """Groups by the stratum of most of their images."""
    found: dict[int, list[list[Candidate]]] = defaultdict(list)
    for group in groups:
        stratum, _ = min(
            Counter(candidate.stratum for candidate in group).items(), key=lambda item: (-item[1], item[0])
        )
        found[stratum].append(group)
    return found


def _of_stratum(group: Sequence[Candidate], stratum: int) -> int:
    return sum(candidate.stratum == stratum for candidate in group)


def _order(group: Sequence[Candidate]) -> tuple[int, bytes]:
    """Large groups first, which then go where most images go; by hash among equals."""
    return -len(group), min(candidate.sha256 for candidate in group)


def _countdown(groups: list[list[Candidate]]) -> Iterable[tuple[int, list[Candidate]]]:
    return zip(range(len(groups), 0, -1), groups, strict=True)


def _fullest_need(total: int, need: Sequence[Split], counts: Counter[Split], groups_left: int) -> Split:
    """The split that lacks most images of a stratum, of which there are `total`."""
    if total < len(need):
        return "train"  # with fewer images than splits, all are needed for training
    held_out = max(1, int(total * _HELD_OUT_SHARE + 0.5))
    targets = dict.fromkeys(need, held_out) | {"train": total - (len(need) - 1) * held_out}
    empty = [split for split in need if not counts[split]]
    choice = empty if groups_left <= len(empty) else need
    return max(choice, key=lambda split: targets[split] - counts[split])
