"""Streams in pieces of bounded size."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` things, the last one possibly shorter; reads no further ahead than one list."""
    iterator = iter(things)
    while batch := list(islice(iterator, size)):
        yield batch
