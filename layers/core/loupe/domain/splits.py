"""Which split an image belongs to: train, validation or test, 70/15/15 for each label.

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
_MIN_IMAGES = 3
"""With fewer images than splits, a label's images are all needed for training."""

_NEED: tuple[Split, ...] = ("train", "test", "validation")
"""Which split comes first when images are few."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that is to be in a dataset version. `earlier` is its split in earlier versions, None if it is
    new; `group` is shared by images that look the same."""

    image: int
    sha256: bytes
    label: int
    group: int
    earlier: Split | None


def assign(
    candidates: Iterable[Candidate], earlier_splits: Mapping[int, frozenset[Split]]
) -> dict[int, Split | None]:
    """The split of each image; None for one that must be left out, as a near-duplicate of a test image.

    `earlier_splits` tells, for groups that earlier versions knew, which splits their members were in, also
    those members that are no candidates any more.
    """
    splits: dict[int, Split | None] = {}
    counts: dict[int, Counter[Split]] = defaultdict(Counter)
    new_groups: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        earlier = earlier_splits.get(candidate.group)
        if not earlier:
            new_groups[candidate.group].append(candidate)
            continue
        split = _split_beside(candidate, earlier)
        splits[candidate.image] = split
        if split is not None:
            counts[candidate.label][split] += 1
    for label, groups in sorted(_by_label(new_groups.values()).items()):
        total = counts[label].total() + sum(_of_label(group, label) for group in groups)
        for left, group in _countdown(sorted(groups, key=_order)):
            split = _fullest_need(total, counts[label], left)
            for candidate in group:
                splits[candidate.image] = split
                counts[candidate.label][split] += 1
    return splits


def _split_beside(candidate: Candidate, earlier: frozenset[Split]) -> Split | None:
    """The split of an image whose group was in earlier versions."""
    if "test" in earlier:
        return "test" if candidate.earlier in (None, "test") else None
    # Two groups that grew together may have been in train and in validation.
    return "train" if "train" in earlier else "validation"


def _by_label(groups: Iterable[list[Candidate]]) -> dict[int, list[list[Candidate]]]:
    """Groups by the label that most of their images have."""
    found: dict[int, list[list[Candidate]]] = defaultdict(list)
    for group in groups:
        label, _ = min(
            Counter(candidate.label for candidate in group).items(), key=lambda item: (-item[1], item[0])
        )
        found[label].append(group)
    return found


def _of_label(group: Sequence[Candidate], label: int) -> int:
    return sum(candidate.label == label for candidate in group)


def _order(group: Sequence[Candidate]) -> tuple[int, bytes]:
    """Large groups first, which then go where most images go; by hash among equals."""
    return -len(group), min(candidate.sha256 for candidate in group)


def _countdown(groups: list[list[Candidate]]) -> Iterable[tuple[int, list[Candidate]]]:
    return zip(range(len(groups), 0, -1), groups, strict=True)


def _fullest_need(total: int, counts: Counter[Split], groups_left: int) -> Split:
    """The split that lacks most images of a label, of which there are `total`."""
    if total < _MIN_IMAGES:
        return "train"
    held_out = max(1, int(total * _HELD_OUT_SHARE + 0.5))
    targets: dict[Split, int] = {
        "train": total - 2 * held_out,
        "validation": held_out,
        "test": held_out,
    }
    empty = [split for split in _NEED if not counts[split]]
    choice = empty if groups_left <= len(empty) else _NEED
    return max(choice, key=lambda split: targets[split] - counts[split])
