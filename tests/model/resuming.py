"""A link fails at any point, and the next one goes on: the publisher's side, and the queue pairs.

Control messages come late, and so do the WRITEs of a queue pair until it is destroyed. A chain is
one message, its data and then its tail, and two may be in flight. As rq_link_open and
rq_publisher_add_tap have it; `rejoining` has the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.model.actions import Action
from tests.model.machine import Violation
from tests.model.rejoining import answer, subscribe
from tests.model.sides import (
    CAPACITY,
    CONFIRM,
    CONNECT,
    DATA,
    DEPTH,
    LAG_MAX,
    LIVE,
    OPENING,
    REPLY,
    ROOM,
    TAIL,
    Link,
    Message,
    State,
    World,
    law,
)

Actions = Iterator[Action[State]]


def actions(world: World, state: State) -> Actions:
    """All that can happen now."""
    yield from publish(world, state)
    yield from hear(world, state)
    for link in (state.link, *state.late):
        if link is not None:
            yield from transmit(world, state, link)
    yield from subscribe(world, state)
    yield from answer(world, state)


# ---- the publisher ----


def publish(world: World, state: State) -> Actions:
    """Frames and chains; a link that lags is given up. And kill -9, and another incarnation."""
    link = state.link
    last = CAPACITY + world.lasts[state.epoch - 1]
    if state.tail != last:
        told = state._replace(tail=state.tail + 1)
        if link is not None and told.tail - link.flushed > LAG_MAX:
            told = give_up(told, link)
        yield Action("publisher", "finish_frame", f"tail = {told.tail}", told)
    elif state.epoch != len(world.lasts):
        again = give_up(state, link) if link is not None else state
        again = again._replace(epoch=state.epoch + 1, tail=CAPACITY, generation_seen=0)
        yield Action("publisher", "kill -9", f"epoch {again.epoch}", again)
    if (
        link is not None
        and link.state == LIVE
        and link.sent < min(state.tail, link.flushed + DEPTH)
    ):
        at = link.sent
        posted = link._replace(sent=at + 1, requests=(*link.requests, (DATA, at), (TAIL, at + 1)))
        yield Action("link", "rq_chain_post", f"posts {at}", state._replace(link=posted))


def give_up(state: State, link: Link) -> State:
    """rq_link_fail: posts nothing more; its queue pair may go on until it is flushed."""
    late = (*state.late, link) if link.requests else state.late
    return state._replace(link=None, late=late, idea=(link.flushed, link.sent))


def hear(world: World, state: State) -> Actions:
    """Connect: rq_link_open, rq_publisher_add_tap. Confirm: rq_link_start."""
    for message in state.messages:
        taken = state._replace(messages=state.messages - {message})
        what = f"{message.kind} {message.generation}"
        link = state.link
        if message.kind == CONFIRM:
            if link is not None and link.generation == message.generation:
                taken = taken._replace(link=link._replace(state=LIVE))
            yield Action("publisher", "rq_link_start", what, taken)
        elif message.kind == CONNECT:
            is_stale = message.generation <= state.generation_seen
            if is_stale and not world.has("stale_generation"):
                yield Action("publisher", "(refused)", what, taken)
                continue
            if link is not None:
                if is_stale:
                    broken = Violation(f"link {link.generation} is ended by an older Connect")
                    yield Action("publisher", "rq_link_open", what, broken)
                    continue
                taken = give_up(taken, link)
            start = start_of(world, taken, message)
            new = Link(message.generation, state.epoch, OPENING, start, start)
            reply = Message(REPLY, message.generation, state.epoch, start)
            taken = taken._replace(
                link=new,
                generation_seen=max(state.generation_seen, message.generation),
                messages=taken.messages | {reply},
            )
            yield Action("publisher", "rq_link_open", f"{what}: from {start}", taken)


def start_of(world: World, state: State, message: Message) -> int:
    """Where the replica's tail stands, or the tail if the ring does not hold what follows it."""
    is_ours = message.epoch == state.epoch or world.has("old_epoch_accepted")
    if not is_ours or not 0 <= state.tail - message.position <= ROOM:
        return state.tail
    if world.has("taken_as_undelivered"):
        return state.idea[0]
    if world.has("taken_as_delivered"):
        return state.idea[1]
    return message.position


# ---- a queue pair ----


def transmit(world: World, state: State, link: Link) -> Actions:
    """The next request lands, if the other queue pair is there; its fate may stay unknown."""
    if not link.requests:
        return
    (kind, at), *later = link.requests
    if link.generation in state.queue_pairs:
        landed = land(state, link.epoch, kind, at)
        broken = law(world, state, landed)
        if broken is not None:
            yield Action("NIC", "(NIC)", f"WRITE of {kind} {at}", broken)
            return
        rest = link._replace(requests=tuple(later))
        if not later:
            rest = rest._replace(flushed=rest.sent)
        well = with_link(landed, link, rest)
        yield Action("NIC", "(NIC)", f"WRITE of {kind} {at} by link {link.generation}", well)
    flushed = with_link(state, link, None)
    if link is not state.link or link.generation not in state.queue_pairs:
        yield Action("NIC", "(NIC)", f"link {link.generation} is flushed", flushed)
    elif state.troubles:
        lost = flushed._replace(troubles=state.troubles - 1)
        yield Action("NIC", "(NIC)", f"link {link.generation} fails: unknown", lost)


def with_link(state: State, link: Link, now: Link | None) -> State:
    """Put a link's new state in place; one that was given up goes when it is done."""
    if link is state.link:
        idea = (link.flushed, link.sent) if now is None else state.idea
        return state._replace(link=now, idea=idea)
    late = tuple(other for other in state.late if other is not link)
    if now is not None and now.requests:
        late = (*late, now)
    return state._replace(late=late)


def land(state: State, epoch: int, kind: str, at: int) -> State:
    """A WRITE in the replica."""
    if kind == TAIL:
        return state._replace(replica_tail=at)
    place = at % CAPACITY
    replica = (*state.replica[:place], (epoch, at), *state.replica[place + 1 :])
    return state._replace(replica=replica)


def may_stop(world: World, state: State) -> str:
    """All that was published is in the replica, or was jumped over, which its readers see."""
    last = (len(world.lasts), CAPACITY + world.lasts[-1])
    if (state.epoch, state.tail) != last:
        return "stuck: the publisher waits"
    if (state.replica_epoch, state.replica_tail) != last:
        return (
            f"stuck: the replica ends at {state.replica_epoch, state.replica_tail}, not at {last}"
        )
    return ""


def scenario(
    mutation: str = "", *, lasts: tuple[int, ...] = (5,), troubles: int = 0
) -> dict[str, Any]:
    """How much each incarnation of the publisher publishes, and how often something goes wrong.

    A link that lags ends by itself, too.
    """
    world = World(mutation, lasts)
    return {
        "initial": State(troubles=troubles),
        "actions": partial(actions, world),
        "may_stop": partial(may_stop, world),
    }
