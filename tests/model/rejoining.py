"""A link fails at any point, and the next one goes on: the subscriber's side.

Destroy the queue pair, then read the tail, then ask; and make the replica ready before a byte of
the next link can arrive. As rq_replica_detach and rq_replica_restart have it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.actions import Action
from tests.model.sides import (
    ASKING,
    CONFIRM,
    CONNECT,
    DOWN,
    NOTHING,
    REPLY,
    UP,
    Message,
    State,
    World,
    law,
)

Actions = Iterator[Action[State]]


def subscribe(world: World, state: State) -> Actions:
    """Down: destroys its queue pair, then reads its tail, then asks. Up: it fails at any moment."""
    kept = world.has("queue_pair_kept")
    if state.phase == DOWN and state.queue_pairs and not kept:
        gone = state._replace(queue_pairs=frozenset())
        yield Action("subscriber", "ibv_destroy_qp", f"of link {state.generation}", gone)
    elif state.phase == DOWN:
        generation = state.generation + 1
        told = state.told if world.has("tail_read_first") else state.replica_tail
        ask = Message(CONNECT, generation, state.replica_epoch, told)
        asking = state._replace(
            phase=ASKING,
            generation=generation,
            told=told,
            queue_pairs=state.queue_pairs | {generation},
            messages=state.messages | {ask},
        )
        yield Action("subscriber", "rq_replica_detach", f"the tail is {told}", asking)
    is_lost = state.link is None or state.link.generation != state.generation
    if state.phase == UP and is_lost:
        yield Action("subscriber", "(link down)", "it is told", down(state))
    if state.phase != DOWN and state.troubles:
        troubled = down(state)._replace(troubles=state.troubles - 1)
        yield Action("subscriber", "(link down)", "it fails, or waited too long", troubled)
    elif state.phase == ASKING and is_lost and not state.messages:
        yield Action("subscriber", "(timeout)", "nobody answered", down(state))


def down(state: State) -> State:
    """The end of a link: what comes of it is not yet known."""
    return state._replace(phase=DOWN, told=state.replica_tail)


def answer(world: World, state: State) -> Actions:
    """The reply: goes on at the tail, or jumps, before a byte can arrive."""
    for message in state.messages:
        if message.kind != REPLY:
            continue
        taken = state._replace(messages=state.messages - {message})
        is_mine = message.generation == state.generation or world.has("stale_reply")
        if state.phase != ASKING or not is_mine:
            yield Action("subscriber", "(dropped)", f"Reply {message.generation}", taken)
            continue
        up = state_after(world, taken, message)
        confirm = Message(CONFIRM, state.generation, message.epoch)
        up = up._replace(phase=UP, messages=up.messages | {confirm})
        what = f"Reply {message.generation}: from {message.position}"
        yield Action("subscriber", "rq_replica_restart", what, law(world, state, up) or up)


def state_after(world: World, state: State, reply: Message) -> State:
    """The replica, made ready for the link that begins there."""
    start = reply.position
    if reply.epoch != state.replica_epoch and not world.has("old_epoch_accepted"):
        return state._replace(
            replica_epoch=reply.epoch, replica=NOTHING, replica_tail=start, jumped=(0, start)
        )
    if start <= state.told or world.has("jump_untold"):
        return state
    return state._replace(replica_tail=start, jumped=(state.told, start))
