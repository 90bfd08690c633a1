"""One-sided READs out of the publisher's ring into a replica, and the switch to a live link.

The publisher goes on and knows nothing of it. A READ fetches its words in any order; READs behind
one another are fenced: tail, data below it, tail. A frame is two words, a header with its position
and a payload; positions count frames. As rq_backfill_run and rq_publisher_add_tap have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.model.actions import Action
from tests.model.machine import Violation

CAPACITY, GUARD = 4, 1
ROOM, LAG_MAX = CAPACITY - GUARD, 2
HEADER, PAYLOAD = 0, 1
HEARTBEAT = -1  # a payload that says nothing
Ring = tuple[tuple[int, int], ...]  # header and payload


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    last: int

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class State(NamedTuple):
    """Everything at one moment. What is None has not been read, or is not there."""

    # The publisher.
    ring: Ring
    tail: int
    words_written: int = 0  # of the burst at the tail
    link: int | None = None  # how far it has sent
    # The backfill.
    tail_0: int | None = None
    wanted: frozenset[tuple[int, int]] = frozenset()  # words on their way: position, which
    tail_1: int | None = None
    # The replica.
    replica: Ring = ((0, 0),) * CAPACITY
    replica_tail: int = CAPACITY
    jumped: tuple[int, int] = (0, CAPACITY)  # between these no reader stands
    bridge_to: int = 0  # heartbeats are being written up to there
    words_sent: int = 0  # of the link's chain


Actions = Iterator[Action[State]]


def put(ring: Ring, position: int, word: int, value: int) -> Ring:
    """Store one word of a frame."""
    at = position % CAPACITY
    frame = (value, ring[at][PAYLOAD]) if word == HEADER else (ring[at][HEADER], value)
    return (*ring[:at], frame, *ring[at + 1 :])


def actions(world: World, state: State) -> Actions:
    """All that can happen now."""
    yield from publish(world, state)
    if state.bridge_to:
        yield from bridge(world, state)
    elif state.link is None:
        yield from backfill(world, state)
    else:
        yield from send(world, state)


# ---- the publisher ----


def publish(world: World, state: State) -> Actions:
    """rq_write_frame: payload, header, tail. A link keeps the ring for itself."""
    at, written = state.tail, state.words_written
    if at == world.last or (state.link is not None and at >= state.link + CAPACITY):
        return
    if written == 2:
        done = state._replace(tail=at + 1, words_written=0)
        yield Action("publisher", "finish_frame", f"tail = {at + 1}", done)
        return
    ring = put(state.ring, at, PAYLOAD if written == 0 else HEADER, at)
    begun = state._replace(ring=ring, words_written=written + 1)
    yield Action("publisher", "rq_write_frame", f"word {written} of {at}", begun)


# ---- the backfill ----


def backfill(world: World, state: State) -> Actions:
    """rq_backfill_run: three READs, each fenced behind the one before, and what they come to."""
    name, where = "backfill", "rq_backfill_run"
    is_fetched = state.tail_0 is not None and not state.wanted
    if state.tail_0 is None:
        fetched = state._replace(tail_0=state.tail, wanted=wanted(world, state))
        yield Action(name, where, f"READ tail0 -> {state.tail}", fetched)
        yield from switch(world, state)
    for position, word in sorted(state.wanted):
        value = state.ring[position % CAPACITY][word]
        replica = put(state.replica, position, word, value)
        left = state.wanted - {(position, word)}
        fetched = state._replace(replica=replica, wanted=left)
        what = f"READ word {word} of {position} -> {value}"
        yield Action(name, where, what, law(state, fetched) or fetched)
    may_read = is_fetched or (world.has("reads_unfenced") and state.tail_0 is not None)
    if state.tail_1 is None and may_read:
        read = state._replace(tail_1=state.tail)
        yield Action(name, where, f"READ tail1 -> {state.tail}", read)
    if is_fetched and state.tail_1 is not None:
        judged = judge(world, state)
        yield Action(
            name, where, f"the tail is {judged.replica_tail}", law(state, judged) or judged
        )


def wanted(world: World, state: State) -> frozenset[tuple[int, int]]:
    """The words of the frames at the replica's tail: at most a guard of them, below tail0."""
    begin = state.replica_tail
    length = 2 * GUARD if world.has("data_past_guard") else GUARD
    end = min(state.tail, begin + length)
    if world.has("read_beyond_tail_0"):
        end = begin + length
    return frozenset((p, word) for p in range(begin, end) for word in (HEADER, PAYLOAD))


def judge(world: World, state: State) -> State:
    """Each frame by the guard rule with tail1 and by its header; the tail is stored behind it."""
    tail_0, tail_1 = state.tail_0 or 0, state.tail_1 or 0
    begin = state.replica_tail
    if world.has("tail_1_not_read"):
        tail_1 = tail_0
    end = tail_0 if not world.has("read_beyond_tail_0") else begin + GUARD
    length = 2 * GUARD if world.has("data_past_guard") else GUARD
    room = CAPACITY if world.has("guard_0") else ROOM
    state = state._replace(tail_0=None, tail_1=None)
    for position in range(begin, min(end, begin + length)):
        header = state.replica[position % CAPACITY][HEADER]
        if tail_1 - position > room:
            return skip(world, state, max(position + 1, tail_1 - ROOM + GUARD))
        if header != position and world.has("read_beyond_tail_0"):
            return state  # not there yet
        state = state._replace(replica_tail=position + 1)
    return state


def skip(world: World, state: State, start: int) -> State:
    """rq_replica_skip_to: to a frame that stands, over what is then declared."""
    if start - state.replica_tail > ROOM or world.has("not_bridged"):
        return jump(state, start)
    return state._replace(bridge_to=start)


def jump(state: State, start: int) -> State:
    """rq_replica_restart: so far that every reader who stands before it knows itself lapped."""
    return state._replace(replica_tail=start, jumped=(state.replica_tail, start))


def bridge(world: World, state: State) -> Actions:
    """Fills a short way with heartbeats, in bursts of a guard: a reader may stand before it."""
    begin = state.replica_tail
    end = state.bridge_to if world.has("bridged_at_once") else begin + GUARD
    replica = state.replica
    for position in range(begin, end):
        replica = put(put(replica, position, HEADER, position), position, PAYLOAD, HEARTBEAT)
    built = state._replace(replica=replica)
    is_there = end == state.bridge_to
    told = built._replace(replica_tail=end, bridge_to=0 if is_there else state.bridge_to)
    broken = law(state, built) or law(state, told)
    yield Action("backfill", "bridge", f"heartbeats up to {end}", broken or told)


# ---- live ----


def switch(world: World, state: State) -> Actions:
    """rq_publisher_add_tap, under the publish lock: where the replica's tail stands now."""
    if state.words_written:
        return
    start, lag = state.replica_tail, state.tail - state.replica_tail
    if world.has("switch_leaves_hole"):
        start, lag = state.tail, 0
    elif world.has("switch_overlaps"):
        start = max(CAPACITY, start - 2)
    if LAG_MAX < lag <= ROOM:
        return  # -ESTALE: it goes on reading
    live = state._replace(link=start)
    if lag > ROOM:
        live = jump(state, state.tail)._replace(link=state.tail)
    elif world.has("switch_leaves_hole"):
        live = live._replace(replica_tail=start)
    yield Action("node", "rq_publisher_add_tap", f"from {live.link}", law(state, live) or live)


def send(world: World, state: State) -> Actions:
    """A chain of one frame: two words in any order that does not matter here, then the tail."""
    at = state.link
    assert at is not None
    if at == state.tail:
        return
    if state.words_sent < 2:
        word, value = state.words_sent, state.ring[at % CAPACITY][state.words_sent]
        replica = put(state.replica, at, word, value)
        sent = state._replace(replica=replica, words_sent=word + 1)
        yield Action("link", "(NIC)", f"word {word} of {at}", law(state, sent) or sent)
        return
    sent = state._replace(replica_tail=at + 1, words_sent=0, link=at + 1)
    yield Action("link", "(NIC)", f"tail = {at + 1}", law(state, sent) or sent)


# ---- laws ----


def law(before: State, state: State) -> Violation | None:
    """What the guard rule believes is what was published; tails only grow.

    And what was jumped over was gone: the publisher could not have given it.
    """
    tail = state.replica_tail
    if tail < before.replica_tail:
        return Violation(f"repeats: the tail runs back from {before.replica_tail} to {tail}")
    is_declared = state.jumped != before.jumped or state.bridge_to > before.bridge_to
    if is_declared and before.tail - before.replica_tail <= ROOM:
        return Violation(f"declares {before.replica_tail} on, and it was there")
    for position in range(max(tail - ROOM, CAPACITY), tail):
        found = state.replica[position % CAPACITY]
        is_stood_on = not state.jumped[0] < position < state.jumped[1]
        if is_stood_on and found not in ((position, position), (position, HEARTBEAT)):
            return Violation(f"torn or stale: {found} can be read as {position}")
    return None


def may_stop(world: World, state: State) -> str:
    """All that was published is in the replica, or declared."""
    if (state.tail, state.replica_tail) != (world.last, world.last):
        return f"stuck: the replica ends at {state.replica_tail}, the ring at {state.tail}"
    return "" if state.link is not None else "stuck: never live"


def scenario(mutation: str = "", *, frames: int = 9, frames_before: int = 3) -> dict[str, Any]:
    """Who joins late: some frames were published, and the replica begins at the oldest."""
    world = World(mutation, CAPACITY + frames)
    ring: Ring = ((0, 0),) * CAPACITY
    for position in range(CAPACITY, CAPACITY + frames_before):
        ring = put(put(ring, position, HEADER, position), position, PAYLOAD, position)
    return {
        "initial": State(ring=ring, tail=CAPACITY + frames_before),
        "actions": partial(actions, world),
        "may_stop": partial(may_stop, world),
    }
