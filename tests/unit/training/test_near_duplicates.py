"""Groups of images that look the same."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.domain.images.near_duplicates import HASH_BITS, Groups, join_near_duplicates

hashes = st.integers(0, 2**HASH_BITS - 1)


@st.composite
def clustered_hashes(draw: st.DrawFn) -> list[int]:
    """Hashes around a few centres, so that distances on both sides of the threshold are common."""
    centres = draw(st.lists(hashes, min_size=1, max_size=3))
    noise = st.sets(st.integers(0, HASH_BITS - 1), max_size=20)
    return [
        draw(st.sampled_from(centres)) ^ sum(1 << bit for bit in bits)
        for bits in draw(st.lists(noise, min_size=1, max_size=30))
    ]


def grouped(values: list[int | None], distance: int, first_new: int = 0) -> list[int]:
    groups = Groups(range(len(values)))
    if first_new:
        join_near_duplicates(groups, values[:first_new], 0, distance)
    join_near_duplicates(groups, values, first_new, distance)
    return [groups.find(member) for member in range(len(values))]


@given(clustered_hashes(), st.sampled_from([0, 1, 8, 9, 24]))
@settings(deadline=None)
def test_two_images_are_in_a_group_exactly_if_a_chain_of_near_ones_links_them(
    values: list[int], distance: int
) -> None:
    expected = Groups(range(len(values)))
    for one, other in combinations(range(len(values)), 2):
        if (values[one] ^ values[other]).bit_count() <= distance:
            expected.join(one, other)
    assert grouped(list(values), distance) == [expected.find(member) for member in range(len(values))]


@given(clustered_hashes(), st.data())
@settings(deadline=None)
def test_it_makes_no_difference_whether_images_come_at_once_or_one_batch_after_the_other(
    values: list[int], data: st.DataObject
) -> None:
    first_new = data.draw(st.integers(0, len(values)))
    assert grouped(list(values), 24, first_new) == grouped(list(values), 24)


def test_an_image_without_a_hash_is_in_a_group_of_its_own() -> None:
    assert grouped([None, 5, None, 5], 24) == [0, 1, 2, 1]


def test_hundreds_of_frames_of_one_scene_are_one_group() -> None:
    frames: list[int | None] = [
        (1 << position % HASH_BITS) | (3 << position % 250) for position in range(600)
    ]
    assert set(grouped(frames, 24)) == {0}
