"""Which boxes of several workers are of the same object, and the box that they amount to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from loupe.domain.label_values import Box

MATCH = 0.5
"""Boxes of two workers are of the same object from this intersection over union on."""


@dataclass(frozen=True)
class Group:
    """Boxes of one object, at most one of each worker."""

    boxes: Mapping[str, Box]

    def merged(self, label: str, weights: Mapping[str, float], size: tuple[int, int]) -> Box:
        """The average of the boxes, weighted by worker, within an image of that width and height in pixels.
        Boxes with that label count; where nobody has chosen it, all do."""
        chosen = {w: box for w, box in self.boxes.items() if box.label == label} or self.boxes
        whole = sum(weights[worker] for worker in chosen)

        def average(side: Callable[[Box], float]) -> float:
            return sum(weights[worker] * side(box) for worker, box in chosen.items()) / whole

        left, top = average(lambda box: box.left), average(lambda box: box.top)
        width, height = average(lambda box: box.width), average(lambda box: box.height)
        if min(width, height) >= 1:
            left, top, width, height = (round(each, 2) for each in (left, top, width, height))
        return Box(label, left, top, min(width, size[0] - left), min(height, size[1] - top))


def group(drawn: Mapping[str, Sequence[Box]]) -> list[Group]:
    """The boxes of all workers, grouped: pairs of the same label first, then those that overlap most. In the
    order of the boxes, worker by worker."""
    boxes = [(worker, box) for worker in sorted(drawn) for box in drawn[worker]]
    group_of = list(range(len(boxes)))
    members: dict[int, dict[str, int]] = {at: {worker: at} for at, (worker, _) in enumerate(boxes)}
    for *_, one, other in sorted(_pairs(boxes)):
        kept, merged = group_of[one], group_of[other]
        if kept == merged or members[kept].keys() & members[merged].keys():
            continue
        kept, merged = min(kept, merged), max(kept, merged)
        for at in members[merged].values():
            group_of[at] = kept
        members[kept] |= members.pop(merged)
    return [
        Group({worker: boxes[at][1] for worker, at in sorted(members[each].items())})
        for each in sorted(members)
    ]


def _pairs(boxes: Sequence[tuple[str, Box]]) -> list[tuple[bool, float, int, int]]:
    """Pairs of boxes by different workers that match: whether their labels differ, and the negative overlap,
    so that what belongs together most surely comes first when they are sorted."""
    pairs = []
    order = sorted(range(len(boxes)), key=lambda at: boxes[at][1].left)
    for place, one in enumerate(order):
        worker, box = boxes[one]
        for other in order[place + 1 :]:
            another, further = boxes[other]
            if further.left >= box.left + box.width:
                break
            if another != worker and (found := overlap(box, further)) >= MATCH:
                pairs.append((box.label != further.label, -found, min(one, other), max(one, other)))
    return pairs


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (one.width * one.height + other.width * other.height - both)


def matches(one: Sequence[Box], other: Sequence[Box]) -> int:
    """How many boxes of two lists are of the same object and have the same label."""
    groups = group({"one": one, "other": other})
    return sum(
        len(each.boxes) == 2 and each.boxes["one"].label == each.boxes["other"].label for each in groups
    )
