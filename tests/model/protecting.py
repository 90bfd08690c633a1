"""No byte of the publisher's ring is overwritten while a link's NIC may still read it.

Until a request is completed the NIC may send it again, and reads the source again for that. So the
publisher's limit is a lap beyond `flushed`. A link that lags is failed and moved to ERR; for its
flush, and for nothing else, a lossy publisher waits. As tap.c, gate.c and link_hot.c have it, with
what takes turns there in one: `turning` has that. A message is one word, its own position; a chain
is one message.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.model.actions import Action
from tests.model.machine import Violation

CAPACITY, LAG_MAX = 4, 2
GONE = 99


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    last: int
    depth: int
    peer_lives: bool

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class State(NamedTuple):
    """Everything at one moment."""

    ring: tuple[int, ...] = (0,) * CAPACITY
    tail: int = CAPACITY
    limit: int = 0  # gate_limit_bytes
    is_writing: bool = False  # the burst at the tail stands in part
    # The link.
    is_open: bool = True
    has_failed: bool = False
    sent: int = CAPACITY
    completed: int = CAPACITY
    flushed: int = CAPACITY
    # Its queue pair. Completions, whether they are good, are taken in order.
    is_err: bool = False
    executed: int = CAPACITY
    completions: tuple[bool, ...] = ()


Actions = Iterator[Action[State]]


def actions(world: World, state: State) -> Actions:
    """All that can happen now."""
    yield from write(world, state)
    yield from work(world, state)
    yield from transmit(world, state)


# ---- the writer ----


def write(world: World, state: State) -> Actions:
    """Publish, rq_gate_is_open, rq_taps_limit, and the stall in wait_at_gate."""
    if state.is_writing:
        done = state._replace(tail=state.tail + 1, is_writing=False)
        yield Action("writer", "finish_frame", f"tail = {done.tail}", serve(world, done))
        return
    if state.tail == world.last:
        return
    limit = state.limit
    if state.tail + 1 > limit:
        limit = limit_of(world, state)
    if state.tail + 1 <= limit:
        at = state.tail % CAPACITY
        ring = (*state.ring[:at], state.tail, *state.ring[at + 1 :])
        begun = state._replace(ring=ring, limit=limit, is_writing=True)
        yield Action("writer", "rq_write_frame", f"data[{at}] = {state.tail}", begun)


def limit_of(world: World, state: State) -> int:
    """rq_taps_limit: GONE is no limit."""
    if world.has("source_overwritten") or (world.has("not_flushed") and state.is_err):
        return GONE
    flushed = state.flushed
    if world.has("only_what_flies") and state.sent == state.completed:
        flushed = GONE  # no chain in flight, so none is covered
    if flushed == GONE or not state.is_open:
        return GONE
    return flushed + CAPACITY


def serve(world: World, state: State) -> State:
    """look_at_lag, at each frame."""
    lags = state.flushed != GONE and state.tail - state.flushed > LAG_MAX
    if lags and state.is_open and not world.has("lag_ignored"):
        return state._replace(has_failed=True)
    return state


# ---- the link: whoever has the turn ----


def work(world: World, state: State) -> Actions:
    """rq_link_run and tell."""
    if not state.is_open:
        yield from join(world, state)
        return
    is_room = state.sent - state.completed < world.depth
    if not state.has_failed and state.sent < state.tail and is_room:
        posted = state._replace(sent=state.sent + 1)
        if world.has("freed_when_posted"):
            posted = posted._replace(flushed=posted.sent)
        yield Action("link", "rq_chain_post", f"posts {state.sent}", posted)
    if state.completions:
        yield Action("link", "settle", f"well: {state.completions[0]}", settle(state))
    if state.has_failed and not state.is_err and not world.has("left_connected"):
        yield Action("keeper", "ibv_modify_qp", "ERR", state._replace(is_err=True))
    is_flushed = state.completed == state.sent or world.has("released_early")
    if state.has_failed and is_flushed and state.flushed != GONE:
        yield Action("link", "poll", "flushed: gone", state._replace(flushed=GONE))


def settle(state: State) -> State:
    """A completion. A bad one says that nothing is known, and others follow it."""
    is_well, *later = state.completions
    state = state._replace(completions=tuple(later), completed=state.completed + 1)
    if is_well:
        return state._replace(flushed=max(state.flushed, state.completed))
    return state._replace(has_failed=True)


def join(world: World, state: State) -> Actions:
    """rq_publisher_add_tap, under the publish lock: from the tail on."""
    if state.is_writing:
        return
    joined = state._replace(
        is_open=True, sent=state.tail, completed=state.tail, flushed=state.tail, executed=state.tail
    )
    if not world.has("limit_kept"):
        joined = joined._replace(limit=0)
    yield Action("node", "rq_publisher_add_tap", f"from {state.tail}", joined)


# ---- the NIC ----


def transmit(world: World, state: State) -> Actions:
    """Requests in order; each is read whenever it is sent, and sent as often as it takes."""
    for at in range(state.executed, state.sent):
        if state.ring[at % CAPACITY] != at:
            what = f"sends {state.ring[at % CAPACITY]} as {at}, for which its tail will vouch"
            yield Action("NIC", "(NIC)", f"reads data[{at % CAPACITY}]", Violation(what))
    if state.executed == state.sent:
        return
    at = state.executed
    done = state._replace(executed=at + 1)
    if world.peer_lives and not state.is_err:
        well = done._replace(completions=(*state.completions, True))
        yield Action("NIC", "(NIC)", f"{at} is acknowledged", well)
    if world.peer_lives or state.is_err or state.tail == world.last:
        bad = done._replace(completions=(*state.completions, False), is_err=True)
        yield Action("NIC", "(NIC)", f"{at} is {'flushed' if state.is_err else 'lost'}", bad)


def may_stop(world: World, state: State) -> str:
    """Everything was published, and delivered unless the link has failed."""
    if state.tail != world.last:
        return f"stuck: the publisher waits at {state.tail}"
    if not state.has_failed and state.is_open and state.flushed != state.tail:
        return f"stuck: {state.flushed} of {state.tail} were sent"
    return ""


def scenario(
    mutation: str = "", *, peer_lives: bool = True, is_open: bool = True, words: int = 8
) -> dict[str, Any]:
    """A ring of four words, lapped; the link is there from the beginning, or joins at any time."""
    world = World(mutation, CAPACITY + words, depth=2, peer_lives=peer_lives)
    state = State(is_open=is_open, limit=CAPACITY if is_open else GONE)
    return {
        "initial": state,
        "actions": partial(actions, world),
        "may_stop": partial(may_stop, world),
    }
