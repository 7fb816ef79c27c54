"""Which images look the same: groups of images whose perceptual hashes are near, directly or by a chain.

Comparing each image with each other one takes time that grows with the square of their number. Two hashes
that differ in at most `d` bits, cut into `d // 2 + 1` bands, are equal or one bit apart in at least one band:
so only images that meet in a band are compared, and one band at a time is held in memory.
"""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence

HASH_BITS = 256
"""Length of a perceptual hash."""

Band = dict[int, list[int]]


class Groups:
    """Disjoint groups of the numbers 0, 1, 2...; a group's root is its least member."""

    def __init__(self, roots: Iterable[int] = ()) -> None:
        """`roots` gives, for each number, an earlier member of its group, or itself."""
        self._parent = array("I", roots)

    def __len__(self) -> int:
        return len(self._parent)

    def add(self) -> int:
        """A further number, in a group of its own."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def find(self, member: int) -> int:
        """Root of the group of `member`."""
        parent = self._parent
        while (above := parent[member]) != member:
            parent[member] = member = parent[above]
        return member

    def join(self, one: int, other: int) -> None:
        """Make one group of the groups of both."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low


def join_near_duplicates(groups: Groups, hashes: Sequence[int | None], first_new: int, distance: int) -> None:
    """Join the groups of all images whose hashes differ in at most `distance` bits.

    `hashes[i]` is the perceptual hash (`HASH_BITS` bits) of image `i`, None if it has none. Images before
    `first_new` have been through this before, and are not compared with each other again.
    """
    distinct = _join_equal(groups, hashes, first_new)
    count = distance // 2 + 1
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    for low, high in itertools.pairwise(edges):
        mask = (1 << (high - low)) - 1
        band: Band = {}
        for member in distinct:
            band.setdefault((hashes[member] or 0) >> low & mask, []).append(member)
        _join_band(groups, hashes, band, high - low, first_new, distance)


def _join_equal(groups: Groups, hashes: Sequence[int | None], first_new: int) -> list[int]:
    """Join images of equal hash; returns the first image of each hash, in order."""
    first: dict[int, int] = {}
    for member, value in enumerate(hashes):
        if value is None:
            continue
        earlier = first.setdefault(value, member)
        if earlier != member and member >= first_new:
            groups.join(earlier, member)
    return list(first.values())


def _join_band(
    groups: Groups, hashes: Sequence[int | None], band: Band, width: int, first_new: int, distance: int
) -> None:
    for members in band.values():
        if len(members) > 1 and members[-1] >= first_new:
            _join_bucket(groups, hashes, members, first_new, distance)
    flips = [1 << bit for bit in range(width)]
    for value, members in band.items():
        if members[-1] < first_new:  # a bucket without new images is looked at from its neighbour
            continue
        for flip in flips:
            neighbours = band.get(value ^ flip)
            if neighbours is not None and (value < value ^ flip or neighbours[-1] < first_new):
                _join_buckets(groups, hashes, members, neighbours, distance)


def _join_bucket(
    groups: Groups, hashes: Sequence[int | None], members: list[int], first_new: int, distance: int
) -> None:
    """Compare the new members with all others of their bucket."""
    old = [member for member in members if member < first_new]
    clusters = list(_by_group(groups, old))
    for member in members[len(old) :]:
        # One hit tells that a whole cluster is of one group: a thousand frames of one scene cost a thousand
        # comparisons, not half a million.
        near = [cluster for cluster in clusters if _meet(groups, hashes, [member], cluster, distance)]
        if near:
            near[0].append(member)
            for cluster in near[1:]:
                near[0] += cluster
                clusters.remove(cluster)
        else:
            clusters.append([member])


def _join_buckets(
    groups: Groups, hashes: Sequence[int | None], ones: list[int], others: list[int], distance: int
) -> None:
    if len(ones) == len(others) == 1:
        _meet(groups, hashes, ones, others, distance)
        return
    clusters = list(_by_group(groups, others))
    for cluster in _by_group(groups, ones):
        for other in clusters:
            if groups.find(cluster[0]) != groups.find(other[0]):
                _meet(groups, hashes, cluster, other, distance)


def _by_group(groups: Groups, members: list[int]) -> Iterator[list[int]]:
    clusters: dict[int, list[int]] = {}
    for member in members:
        clusters.setdefault(groups.find(member), []).append(member)
    yield from clusters.values()


def _meet(
    groups: Groups, hashes: Sequence[int | None], ones: list[int], others: list[int], distance: int
) -> bool:
    """Whether an image of `ones` is near one of `others`; if so, their groups are joined."""
    for one in ones:
        value = hashes[one] or 0
        for other in others:
            if (value ^ (hashes[other] or 0)).bit_count() <= distance:
                groups.join(one, other)
                return True
    return False
