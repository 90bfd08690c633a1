"""A send queue's slots, few of them signalled, and a completion queue that must hold what comes.

A completion implies the requests before it. The device frees a slot when a later signalled
request's completion is polled, and never says that a queue overflows: so the poster counts. After a
failure each request has a completion of its own, signalled or not. As post_hot.c and poll_hot.c
have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from tests.model.actions import Action
from tests.model.machine import Violation

SLOTS, SIGNAL_EVERY, CHAIN = 4, 2, 3
OK, ERROR = "OK", "error"


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    total: int

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class State(NamedTuple):
    """Everything at one moment."""

    signalled: tuple[bool, ...] = ()  # of each request posted
    executed: int = 0  # requests before it are over
    failed_at: int = -1  # the first that was not done well; those behind it are flushed
    queue: tuple[tuple[int, bool], ...] = ()  # completions: of which request, and whether well
    freed: int = 0  # slots of requests before it are the device's no more
    reported: tuple[str, ...] = ()

    @property
    def posted(self) -> int:
        """Requests posted in all."""
        return len(self.signalled)


Actions = Iterator[Action[State]]


def actions(world: World, state: State) -> Actions:
    """All that can happen now."""
    yield from post(world, state)
    yield from execute(world, state)
    yield from poll(world, state)


def post(world: World, state: State) -> Actions:
    """post_chain: as much of a chain as there are slots, its last request signalled."""
    used = state.posted - len(state.reported)
    if world.has("slot_freed_early"):  # when the device has executed it
        used = state.posted - max(state.executed, len(state.reported))
    room = SLOTS + world.has("credit_off_by_one") - used
    count = min(room, CHAIN, world.total - state.posted)
    if count <= 0 or state.failed_at >= 0:
        return
    signals = [(at + 1) % SIGNAL_EVERY == 0 or at + 1 == count for at in range(count)]
    if world.has("signal_lost"):
        signals = [False] * count
    after = state._replace(signalled=(*state.signalled, *signals))
    if after.posted - state.freed > SLOTS:
        overflow = Violation(f"the send queue overflows: {after.posted - state.freed} requests")
        yield Action("poster", "post_chain", f"{count} requests", overflow)
    else:
        yield Action("poster", "post_chain", f"{count} requests", after)


def execute(world: World, state: State) -> Actions:
    """The device, in order. A completion is made for what is signalled or not done well."""
    at = state.executed
    if at == state.posted:
        return
    fates = (True, False) if state.failed_at < 0 else (False,)
    for is_well in fates:
        after = state._replace(executed=at + 1)
        if not is_well and state.failed_at < 0:
            after = after._replace(failed_at=at)
        if state.signalled[at] or not is_well:
            after = after._replace(queue=(*state.queue, (at, is_well)))
        what = f"request {at}: {'well' if is_well else 'error'}"
        yield Action("NIC", "(NIC)", what, check_queue(world, after))


def check_queue(world: World, state: State) -> State | Violation:
    """A completion queue that overflows is lost: there must be room for all that can come."""
    room = SLOTS if not world.has("queue_for_signalled") else SLOTS // SIGNAL_EVERY
    if len(state.queue) > room:
        return Violation(f"the completion queue overflows: {len(state.queue)} in {room}")
    return state


def poll(world: World, state: State) -> Actions:
    """rq_cq_take: a completion, and the requests that it implies."""
    if not state.queue:
        return
    (at, is_well), *later = state.queue
    after = state._replace(queue=tuple(later))
    what = f"completion of {at}"
    if not is_well and not state.signalled[at] and world.has("unsignalled_dropped"):
        yield Action("poller", "rq_cq_take", what, after)
        return
    last = state.posted - 1 if world.has("error_implies_all") and not is_well else at
    # What an error passes over was done well: were it not, it would have its own before this one.
    implied = ERROR if ERROR in state.reported or last != at else OK
    count = last - len(state.reported)
    reported = (*state.reported, *[implied] * count, OK if is_well else ERROR)
    after = after._replace(reported=reported, freed=last + 1)
    yield Action("poller", "rq_cq_take", what, check_reports(after))


def check_reports(state: State) -> State | Violation:
    """What is told to be over is over, and what is told to be well, is well."""
    if len(state.reported) > state.executed:
        return Violation(f"{state.executed} is told to be over while the device reads its source")
    for number, outcome in enumerate(state.reported):
        if outcome == OK and number >= state.failed_at >= 0:
            return Violation(f"{number} is told to be done, and was not")
    return state


def may_stop(world: World, state: State) -> str:
    """Every request is reported, once."""
    if len(state.reported) != state.posted:
        return f"stuck: {len(state.reported)} of {state.posted} requests are reported"
    if state.failed_at < 0 and state.posted != world.total:
        return f"stuck: {state.posted} of {world.total} requests are posted"
    return ""


def scenario(mutation: str = "", *, total: int = 9) -> dict[str, Any]:
    """Chains of three requests in a queue of four, every second one signalled."""
    world = World(mutation, total)
    return {
        "initial": State(),
        "actions": partial(actions, world),
        "may_stop": partial(may_stop, world),
    }
