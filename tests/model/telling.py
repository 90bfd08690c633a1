"""Reliable flow over a link: the replica's owner tells a cursor, the link READs it at some time.

The publisher may write a room beyond the cursor that it knows. A message is one word; what is sent
arrives at once, since `replicating` has the rest. As replica_hot.c, link_hot.c and tap.c have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.model.actions import Action
from tests.model.machine import Violation

CAPACITY, GUARD = 5, 1
ROOM = CAPACITY - GUARD


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    last: int

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class State(NamedTuple):
    """Everything at one moment. What is None is not there."""

    tail: int = CAPACITY
    known: int = CAPACITY  # tap.cursor_bytes: what the publisher has been told
    fetched: int | None = None  # a READ under way, and what it found
    replica_tail: int = CAPACITY
    told: int = CAPACITY  # feedback.cursor_bytes
    reckoned: int | None = None  # by the owner, and not stored yet
    cursors: tuple[int | None, ...] = (CAPACITY, None)
    troubles: int = 1


Actions = Iterator[Action[State]]


def actions(world: World, state: State) -> Actions:
    """All that can happen now."""
    if state.tail < min(world.last, state.known + ROOM, state.replica_tail + CAPACITY):
        published = state._replace(tail=state.tail + 1)
        yield Action("publisher", "finish_frame", f"tail = {published.tail}", published)
    yield from send(state)
    yield from tell(world, state)
    yield from fail(world, state)
    for number, cursor in enumerate(state.cursors):
        if cursor is None:
            yield from join(world, state, number)
        elif cursor < state.replica_tail:
            read = with_cursor(state, number, cursor + 1)
            yield Action(f"reader {number}", "rq_reader_advance", f"reads {cursor}", read)


def with_cursor(state: State, number: int, cursor: int) -> State:
    """Move one reader."""
    cursors = (*state.cursors[:number], cursor, *state.cursors[number + 1 :])
    return state._replace(cursors=cursors)


def send(state: State) -> Actions:
    """A chain. The law: it laps nobody."""
    if state.replica_tail == state.tail:
        return
    tail = state.replica_tail + 1
    sent: State | Violation = state._replace(replica_tail=tail)
    for number, cursor in enumerate(state.cursors):
        if cursor is not None and tail - cursor > ROOM:
            sent = Violation(f"reader {number} is lapped at {cursor} by {tail}, though reliable")
    yield Action("link", "rq_chain_post", f"the replica's tail is {tail}", sent)


def least(state: State) -> int:
    """rq_gate_least_cursor: the tail when nobody reads."""
    return min([state.replica_tail, *(cursor for cursor in state.cursors if cursor is not None)])


def tell(world: World, state: State) -> Actions:
    """report_cursor, under the lock that admits readers; and take_cursor, after a READ."""
    if state.reckoned is not None:
        stored = state._replace(told=state.reckoned, reckoned=None)
        yield Action("owner", "report_cursor", f"stores {stored.told}", stored)
    elif least(state) > state.told:
        if world.has("stored_unlocked"):
            yield Action("owner", "report_cursor", "", state._replace(reckoned=least(state)))
        else:
            told = state._replace(told=least(state))
            yield Action("owner", "report_cursor", f"stores {told.told}", told)
    if state.fetched is None and state.told > state.known:
        read = state._replace(fetched=state.told)
        yield Action("link", "rq_link_read_feedback", f"READs {state.told}", read)
    elif state.fetched is not None:
        known = state._replace(known=max(state.known, state.fetched), fetched=None)
        yield Action("link", "take_cursor", f"{known.known}", known)


def join(world: World, state: State, number: int) -> Actions:
    """rq_publisher_admit, from the oldest on: of nothing that was given up already."""
    oldest = max(CAPACITY, state.replica_tail - ROOM + GUARD)
    if not world.has("joined_below"):
        oldest = max(oldest, state.told)
    joined = with_cursor(state, number, oldest)
    yield Action("owner", "rq_publisher_admit", f"reader {number} from {oldest}", joined)


def fail(world: World, state: State) -> Actions:
    """Another link, from the replica's tail on: its readers stand further back."""
    if not state.troubles:
        return
    known = state.replica_tail if world.has("cursor_at_tail") else state.told
    again = state._replace(known=known, fetched=None, troubles=state.troubles - 1)
    yield Action("link", "rq_publisher_add_tap", f"cursor {known}", again)


def may_stop(world: World, state: State) -> str:
    """Everything is published, and read by all."""
    if state.tail != world.last:
        return f"stuck: the publisher waits at {state.tail}"
    return "" if least(state) == world.last else f"stuck: readers at {state.cursors}"


def scenario(mutation: str = "", *, messages: int = 8) -> dict[str, Any]:
    """One reader from the beginning, one that joins; a link that is replaced at some moment."""
    world = World(mutation, CAPACITY + messages)
    return {
        "initial": State(),
        "actions": partial(actions, world),
        "may_stop": partial(may_stop, world),
    }
