"""A publisher dies by kill -9 at any step, another takes its place: a new epoch, a new segment.

A frame is one word and holds its epoch and position. As subscription.py's `_lose_publisher` and
`_follow` have it, over rq_reader_poll and rq_reader_open.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Violation
from tests.model.reading import all_done
from tests.model.steps import ACQUIRE, RELAXED, RELEASE, fence, ghost, kill, load, store, until

CAPACITY, FRAMES = 4, 3


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation

    def segment(self, epoch: int) -> int:
        """Each epoch has a segment of its own."""
        return 1 if self.has("segment_reused") else epoch


def begin(world: World, epoch: int) -> Program:
    """rq_publisher_open, when the one before is dead, and the name's offer to readers."""
    if epoch > 1:
        yield until(f"is_dead[{epoch - 1}]", bool, "Node: the lock is free")
    yield store(f"tail[{world.segment(epoch)}]", CAPACITY, RELEASE, "rq_publisher_open")
    yield store(f"is_offered[{epoch}]", True, RELEASE, "Node.publish")
    return publish, (world, epoch, CAPACITY)


def publish(world: World, epoch: int, tail: int) -> Program:
    """rq_write_frame."""
    segment = world.segment(epoch)
    yield fence(RELEASE, "begin_burst")
    word = (epoch, tail)
    yield store(f"data[{segment}][{tail % CAPACITY}]", word, RELAXED, "rq_write_frame")
    yield store(f"tail[{segment}]", tail + 1, RELEASE, "finish_frame")
    return None if tail + 1 == CAPACITY + FRAMES else (publish, (world, epoch, tail + 1))


def killer(world: World) -> Program:
    """Anybody's kill -9, and what the kernel does then: a hang-up, a ready pidfd."""
    yield kill("publisher 1", "(anybody)")
    yield store("is_dead[1]", True, RELEASE, "(kernel)")
    return None


def read(world: World, epoch: int, cursor: int) -> Program:
    """rq_reader_poll."""
    segment = world.segment(epoch)
    tail = yield load(f"tail[{segment}]", ACQUIRE, "rq_peek_frame")
    if cursor == CAPACITY + FRAMES and epoch == 2:
        return None
    if tail == cursor:
        return look_around, (world, epoch, cursor)
    word = yield load(f"data[{segment}][{cursor % CAPACITY}]", RELAXED, "copy_frame")
    if word != (epoch, cursor):
        raise Violation(f"{word} was delivered as position {cursor} of epoch {epoch}")
    return read, (world, epoch, cursor + 1)


def look_around(world: World, epoch: int, cursor: int) -> Program:
    """_look_around and _lose_publisher: is it dead, and was all delivered?"""
    is_dead = yield load(f"is_dead[{epoch}]", ACQUIRE, "publisher_lives")
    if not is_dead:
        return read, (world, epoch, cursor)
    if not world.has("tail_not_reloaded"):
        tail = yield load(f"tail[{world.segment(epoch)}]", ACQUIRE, "_lose_publisher")
        if tail != cursor:
            return read, (world, epoch, cursor)
    newest = yield ghost(f"tail[{world.segment(epoch)}]")
    if newest != cursor:
        raise Violation(f"leaves epoch {epoch} at {cursor}, and {newest} was published")
    return follow, (world, epoch, cursor)


def follow(world: World, epoch: int, cursor: int) -> Program:
    """_follow: attaches to the next incarnation, from its oldest message."""
    yield until(f"is_offered[{epoch + 1}]", bool, "_attach")
    if world.has("stale_epoch"):
        return read, (world, epoch + 1, cursor)
    return read, (world, epoch + 1, CAPACITY)


def scenario(mutation: str = "") -> dict[str, Any]:
    """Two incarnations, the first killed at any step, and a reader that follows."""
    world = World(mutation)
    words: dict[str, Any] = {}
    for epoch in (1, 2):
        words |= {f"data[{epoch}][{at}]": 0 for at in range(CAPACITY)}
        words |= {f"tail[{epoch}]": CAPACITY}
        words |= {f"is_dead[{epoch}]": False, f"is_offered[{epoch}]": False}
    programs: dict[str, Call] = {
        "publisher 1": (begin, (world, 1)),
        "publisher 2": (begin, (world, 2)),
        "killer": (killer, (world,)),
        "reader": (read, (world, 1, CAPACITY)),
    }
    return {"initial": words, "programs": programs, "may_stop": all_done}
