"""A replica that jumped and fell idle: two words beside the tail tell its readers what they missed.

No frame tells it then. The owner jumps, jumps again, or a NIC writes on; a lapped reader looks at
any moment. As rq_replica_set_restart and frame_hot.c's `restart` have it. A message is one word,
its own position and sequence, so the words of one jump are equal. (The tail is compared, too, so
that mark and fences are more than is needed: each alone may go without harm.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Violation
from tests.model.reading import all_done
from tests.model.steps import ACQUIRE, RELAXED, RELEASE, fence, load, store

JUMPS = (20, 30, 40)
BEGIN = 10


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


def jump(world: World, number: int) -> Program:
    """rq_replica_set_restart, and the tail; then a message, by a NIC."""
    if number == len(JUMPS):
        return None
    position = JUMPS[number]
    yield store("restart_sequence", 0, RELAXED, "rq_replica_set_restart")
    yield fence(RELEASE, "rq_replica_set_restart")
    yield store("restart_bytes", position, RELAXED, "rq_replica_set_restart")
    order = RELAXED if world.has("sequence_not_released") else RELEASE
    yield store("restart_sequence", position, order, "rq_replica_set_restart")
    yield store("tail", position, RELEASE, "rq_replica_restart")
    if number == 0:
        yield store("tail", position + 1, RELEASE, "(NIC)")
    return jump, (world, number + 1)


def restart(world: World, cursor: int) -> Program:
    """Restart, of a reader who is lapped: it goes on there, or looks again."""
    sequence = yield load("restart_sequence", ACQUIRE, "restart")
    position = yield load("restart_bytes", ACQUIRE, "restart")
    tail = yield load("tail", ACQUIRE, "restart")
    if sequence == 0 or (position != tail and not world.has("tail_not_compared")):
        return restart, (world, cursor)
    yield fence(ACQUIRE, "restart")
    again = yield load("restart_sequence", RELAXED, "restart")
    if again != sequence and not world.has("not_looked_again"):
        return restart, (world, cursor)
    if position != sequence:
        raise Violation(f"at {position} it declares what is missing up to {sequence}")
    if tail != position:
        raise Violation(f"goes on at {position}, and the tail is {tail}: nobody vouches for that")
    return None if position == JUMPS[-1] else (restart, (world, position))


def scenario(mutation: str = "") -> dict[str, Any]:
    """Three jumps, a message after the first."""
    world = World(mutation)
    programs: dict[str, Call] = {"owner": (jump, (world, 0)), "reader": (restart, (world, BEGIN))}
    return {
        "initial": {"restart_bytes": 0, "restart_sequence": 0, "tail": BEGIN},
        "programs": programs,
        "may_stop": all_done,
        "first": "owner",
    }
