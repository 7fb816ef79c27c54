"""Which images look the same: groups of images whose perceptual hashes are near, directly or by a chain.

Comparing each image with each other one takes time that grows with the square of their number. Two hashes
that differ in at most `d` bits, cut into `d // 2 + 1` bands, are equal or one bit apart in at least one band:
so only images that meet in a band are compared, and one band at a time is held in memory.
"""

import itertools
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

HASH_BITS = 256
"""Length of a perceptual hash."""

_FEW = 16
"""So many comparisons cost less than looking at groups to avoid some."""


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
    search = _Search(groups, [value or 0 for value in hashes], first_new, distance)
    distinct = _join_equal(groups, hashes, first_new)
    count = distance // 2 + 1
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    for low, high in itertools.pairwise(edges):
        search.band(distinct, low, high - low)


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


class _Search:
    """Compares the images that meet in a band.

    Of images that are one group already, one that is near tells enough: a thousand frames of one scene cost
    a few thousand comparisons, not half a million. So the images of a bucket are kept as clusters, those of
    one group, and singles.
    """

    def __init__(self, groups: Groups, hashes: list[int], first_new: int, distance: int) -> None:
        self._groups = groups
        self._hashes = hashes
        self._first_new = first_new
        self._distance = distance

    def band(self, members: Iterable[int], shift: int, width: int) -> None:
        """Join images that are near and whose hashes differ in at most one of the band's bits."""
        mask = (1 << width) - 1
        buckets: dict[int, list[int]] = {}
        for member in members:
            buckets.setdefault(self._hashes[member] >> shift & mask, []).append(member)
        known = {value for value, bucket in buckets.items() if bucket[-1] < self._first_new}
        for value, bucket in buckets.items():
            if len(bucket) > 1 and value not in known:
                self._within(bucket)
        # Bit by bit, not bucket by bucket: there are a thousand times as many buckets.
        for flip in (1 << bit for bit in range(width)):
            for value in [value for value in buckets if value & flip and value ^ flip in buckets]:
                if value not in known or value ^ flip not in known:
                    self._between(buckets[value], buckets[value ^ flip])

    def _within(self, bucket: list[int]) -> None:
        """Compare the new images of a bucket with all of its images."""
        new = bisect_left(bucket, self._first_new)
        singles, clusters = self._by_group(bucket[:new])
        for member in bucket[new:]:
            near = self._near(member, singles)
            own = [member, *near]
            if near:
                singles = [single for single in singles if single not in near]
            apart = []
            for cluster in clusters:
                if self._meet(own[:1], cluster):
                    own += cluster
                else:
                    apart.append(cluster)
            clusters = apart
            if len(own) > 1:
                clusters.append(own)
            else:
                singles.append(member)

    def _between(self, ones: list[int], others: list[int]) -> None:
        if len(ones) * len(others) <= _FEW:
            hashes, distance = self._hashes, self._distance
            for pair in itertools.product(ones, others):
                if (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= distance:
                    self._groups.join(*pair)
            return
        singles, clusters = self._by_group(ones)
        other_singles, other_clusters = self._by_group(others)
        for single in singles:
            self._near(single, other_singles)
        for cluster in clusters:
            for other in itertools.chain(other_clusters, ([single] for single in other_singles)):
                self._join_apart(cluster, other)
        for cluster in other_clusters:
            for single in singles:
                self._join_apart([single], cluster)

    def _by_group(self, members: list[int]) -> tuple[list[int], list[list[int]]]:
        """Singles and clusters."""
        found: dict[int, list[int]] = {}
        for member in members:
            found.setdefault(self._groups.find(member), []).append(member)
        singles = [cluster[0] for cluster in found.values() if len(cluster) == 1]
        return singles, [cluster for cluster in found.values() if len(cluster) > 1]

    def _near(self, one: int, others: list[int]) -> list[int]:
        """Those of the others that are near, joined with `one`."""
        value, hashes, distance = self._hashes[one], self._hashes, self._distance
        near = [other for other in others if (value ^ hashes[other]).bit_count() <= distance]
        for other in near:
            self._groups.join(one, other)
        return near

    def _join_apart(self, ones: list[int], others: list[int]) -> None:
        if self._groups.find(ones[0]) != self._groups.find(others[0]):
            self._meet(ones, others)

    def _meet(self, ones: list[int], others: list[int]) -> bool:
        """Whether an image of `ones` is near one of `others`; if so, their groups are joined."""
        for one in ones:
            value = self._hashes[one]
            for other in others:
                if (value ^ self._hashes[other]).bit_count() <= self._distance:
                    self._groups.join(one, other)
                    return True
        return False
