"""A ring of one-word messages, each its own position, and a reader of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Program, Violation
from tests.model.steps import ACQUIRE, RELAXED, fence, load


class Ring(NamedTuple):
    """Its shape, and what will be published in all: messages `capacity` to `last - 1`."""

    capacity: int
    guard: int
    last: int
    mutation: str = ""

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation

    def data(self, position: int) -> str:
        """rq_at: the word's place."""
        return f"data[{position % self.capacity}]"

    def memory(self) -> dict[str, Any]:
        """A fresh segment: zeroed, the tail at `capacity`."""
        words: dict[str, Any] = {f"data[{at}]": 0 for at in range(self.capacity)}
        return words | {"tail": self.capacity}

    def is_intact(self, position: int, tail: int) -> bool:
        """rq_reader_is_intact: a tail below the position counts as lapped."""
        return 0 <= tail - position <= self.capacity - self.guard


def read(ring: Ring, cursor: int) -> Program:
    """rq_read_batch. What a lap costs is counted by position, so that none can be forgotten."""
    if cursor == ring.last:
        return None
    tail = yield load("tail", ACQUIRE, "rq_peek_frame")
    if tail == cursor:
        return read, (ring, cursor)
    word = yield load(ring.data(cursor), RELAXED, "copy_frame")
    yield fence(ACQUIRE, "rq_reader_is_intact")
    tail = yield load("tail", ACQUIRE, "rq_reader_is_intact")
    if not ring.is_intact(cursor, tail):
        return resync, (ring, cursor, tail)
    if word != cursor:
        raise Violation(f"torn or stale: {word} was delivered as {cursor}")
    return read, (ring, cursor + 1)


def resync(ring: Ring, cursor: int, tail: int) -> Any:
    """Go on at a tail. The law: a tail never runs back."""
    if tail < cursor:
        raise Violation(f"the tail ran back: {tail} after {cursor}")
    return read, (ring, tail)
