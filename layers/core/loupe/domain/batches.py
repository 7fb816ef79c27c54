"""Streams in pieces of bounded size, one after the other or several at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` things, the last one possibly shorter; reads no further ahead than one list."""
    iterator = iter(things)
    while batch := list(islice(iterator, size)):
        yield batch


def in_parallel(function: Callable[[T], R], things: Iterable[T], threads: int) -> Iterator[R]:
    """Results in the order of `things`, of which no more than `threads` + 1 are in hand at a time.

    With one thread the caller's own does the work. An exception of `function` is raised at its place.
    """
    if threads == 1:
        yield from map(function, things)
        return
    running: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for thing in things:
            running.append(pool.submit(function, thing))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
