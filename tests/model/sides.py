"""The two sides of a link and what is between them, for `resuming` and `rejoining`.

A message is one word: (epoch, position). The publisher keeps its ring for a link (`protecting`), so
what its NIC sends is what was there.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.model.machine import Violation

CAPACITY, GUARD = 4, 1
ROOM, LAG_MAX, DEPTH = CAPACITY - GUARD, 2, 2
DATA, TAIL = "data", "tail"
CONNECT, REPLY, CONFIRM = "Connect", "Reply", "Confirm"
DOWN, ASKING, UP = "down", "asking", "up"
OPENING, LIVE, FAILED = "opening", "live", "failed"


NOTHING = ((0, 0),) * CAPACITY


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    lasts: tuple[int, ...]  # how much each of the publisher's incarnations publishes

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class Message(NamedTuple):
    """On its way, for any time. `position`: of the replica's tail; in a reply, of the start."""

    kind: str
    generation: int
    epoch: int
    position: int = 0


class Link(NamedTuple):
    """The publisher's side; `requests` are what its NIC has yet to execute."""

    generation: int
    epoch: int
    state: str
    sent: int
    flushed: int
    requests: tuple[tuple[str, int], ...] = ()


class State(NamedTuple):
    """Everything at one moment."""

    # The publisher.
    epoch: int = 1
    tail: int = CAPACITY
    link: Link | None = None
    late: tuple[Link, ...] = ()  # of links that it gave up, and whose queue pairs are not flushed
    generation_seen: int = 0
    idea: tuple[int, int] = (CAPACITY, CAPACITY)  # of the last link: flushed, sent
    # Between them.
    messages: frozenset[Message] = frozenset()
    troubles: int = 2  # failures and timeouts to come, at most
    # The subscriber.
    phase: str = DOWN
    generation: int = 0
    queue_pairs: frozenset[int] = frozenset()  # generations whose queue pair can be written by
    replica_epoch: int = 1
    replica: tuple[tuple[int, int], ...] = NOTHING
    replica_tail: int = CAPACITY
    told: int = CAPACITY  # of the tail, read at the end of a link
    jumped: tuple[int, int] = (CAPACITY, CAPACITY)  # between these no reader stands


def law(world: World, before: State, state: State) -> Violation | None:
    """What any reader may take at this moment is what was published there.

    A reader takes what the guard rule believes when it looks again, and tails only grow: so it is
    enough that at each moment everything is right that the guard rule believes then.
    """
    tail = state.replica_tail
    is_same = before.replica_epoch == state.replica_epoch or world.has("replica_kept")
    if is_same and tail < before.replica_tail:
        return Violation(f"the replica's tail runs back from {before.replica_tail} to {tail}")
    for position in range(max(tail - ROOM, CAPACITY), tail):
        found = state.replica[position % CAPACITY]
        is_stood_on = not state.jumped[0] < position < state.jumped[1]
        if is_stood_on and found != (state.replica_epoch, position):
            where = (state.replica_epoch, position)
            return Violation(f"torn or stale: {found} can be read as {where}")
    return None
