"""A link's turn: the sender and the keeper's thread post and poll, one at a time, and never wait.

Whoever finds the other one inside leaves word, and the other goes round once more. The thread asks
for an event only while something waits for a completion. As link_hot.c, link.c and keeper.c have
it, but for the thread's look every 5 ms, on which nothing may depend. What is sent is only counted:
the bytes are `protecting`'s.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Thread, Violation
from tests.model.steps import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    Step,
    compare_exchange,
    exchange,
    ghost,
    load,
    set_ghost,
    store,
    until,
)

GONE, DEPTH = -1, 1
FREE, HELD, HELD_AGAIN = "free", "held", "held again"
LIVE, FAILED = "live", "failed"


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    frames: int
    stops: bool  # the sender ends the link after its last frame

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


class Link(NamedTuple):
    """struct rq_link: what the turn guards."""

    sent: int = 0
    flushed: int = 0


def send(world: World, number: int) -> Program:
    """finish_frame, rq_tell and rq_link_serve."""
    if number == world.frames:
        return (stop, (world,)) if world.stops else None
    yield store("tail", number + 1, RELEASE, "finish_frame")
    if world.has("rings_by_what_it_saw"):
        was_waiting = yield load("waiting", RELAXED, "rq_link_serve")
        after: Call = (ring_if_waiting, (world, was_waiting, number + 1))
        return take_turn, (world, after)
    return take_turn, (world, (send, (world, number + 1)))


def ring_if_waiting(world: World, was_waiting: bool, number: int) -> Program:
    """The mutation: `waiting` as it was before the turn, which the thread may have had since."""
    is_waiting = yield load("waiting", RELAXED, "rq_link_serve")
    if is_waiting and not was_waiting:
        yield exchange("bell", 1, "rq_keeper_ring")
    return send, (world, number)


def stop(world: World) -> Program:
    """rq_link_fail, by who need not have the turn."""
    found = yield compare_exchange("state", LIVE, FAILED, SEQ_CST, "rq_link_fail")
    assert found == LIVE
    if world.has("released_outside"):
        link: Link = yield ghost("link")
        if link.sent == link.flushed:
            yield store("flushed", GONE, RELEASE, "rq_link_fail")
    if not world.has("not_rung"):
        yield exchange("bell", 1, "rq_keeper_ring")
    return None


def keep(world: World) -> Program:
    """The keeper's thread: asleep until it is rung, or the event comes that it armed."""
    yield until("bell", bool, "rest_on_duty")
    yield exchange("bell", 0, "was_rung")
    return take_turn, (world, (arm, (world,)))


def needs_event(world: World) -> Generator[Step, Any, bool]:
    """needs_event: somebody waits for a completion, or for the flush."""
    is_waiting = yield load("waiting", ACQUIRE, "needs_event")
    state = yield load("state", ACQUIRE, "needs_event")
    return bool(is_waiting and not world.has("not_armed")) or state == FAILED


def arm(world: World) -> Program:
    """Arm, then look once more: what completed before the arming makes no event."""
    if (yield from needs_event(world)):
        yield exchange("armed", 1, "rq_cq_arm")
        return (
            (keep, (world,)) if world.has("unlooked") else (take_turn, (world, (sleep, (world,))))
        )
    return take_turn, (world, (sleep, (world,)))


def sleep(world: World) -> Program:
    """nap_of: no nap at all while an event is needed and none was asked for."""
    armed = yield load("armed", RELAXED, "nap_of")
    if not armed and (yield from needs_event(world)):
        return arm, (world,)
    return keep, (world,)


def take_turn(world: World, after: Call) -> Program:
    """rq_link_take_turn; then goes on with `after`."""
    turn = yield compare_exchange("turn", FREE, HELD, ACQUIRE, "rq_link_take_turn")
    if turn == FREE:
        return run, (world, after)
    if world.has("no_word_left"):
        return after
    found = yield compare_exchange("turn", turn, HELD_AGAIN, RELEASE, "rq_link_take_turn")
    return after if found == turn else (take_turn, (world, after))


def end_turn(world: World, after: Call, has_begun_to_wait: bool) -> Program:
    """rq_link_end_turn; a sender who left something unposted wakes the thread, which arms."""
    found = HELD
    if world.has("word_unread"):
        yield store("turn", FREE, RELEASE, "rq_link_end_turn")
    else:
        found = yield compare_exchange("turn", HELD, FREE, RELEASE, "rq_link_end_turn")
    if found != HELD:
        yield exchange("turn", HELD, "rq_link_end_turn")
        return run, (world, after, has_begun_to_wait)
    if has_begun_to_wait and after[0] is send and not world.has("waiting_not_rung"):
        yield exchange("bell", 1, "rq_keeper_ring")
    return after


def run(world: World, after: Call, has_begun_to_wait: bool = False) -> Program:
    """rq_link_run: the tail, then what was completed, then what may go."""
    tail = yield load("tail", ACQUIRE, "rq_link_run")
    link: Link = yield ghost("link")
    done = yield load("done", ACQUIRE, "poll")
    if done != link.flushed:
        link = link._replace(flushed=done)
        yield store("flushed", done, RELEASE, "settle")
    state = yield load("state", ACQUIRE, "poll")
    if state == FAILED and link.flushed == link.sent:
        yield store("flushed", GONE, RELEASE, "poll")
    yield set_ghost("link", link)
    return post, (world, after, tail, link, has_begun_to_wait)


def post(world: World, after: Call, tail: int, link: Link, has_begun_to_wait: bool) -> Program:
    """Post: one chain at a time, all that was published."""
    if link.sent < tail and link.sent == link.flushed:
        state = yield load("state", ACQUIRE, "rq_link_is_posting")
        if state == LIVE:
            link = link._replace(sent=tail)
            yield store("posted", tail, RELEASE, "rq_chain_post")
            yield set_ghost("link", link)
    state = yield load("state", ACQUIRE, "rq_link_is_posting")
    is_waiting = link.sent < tail and state == LIVE
    was_waiting = yield load("waiting", RELAXED, "post")
    if is_waiting != was_waiting:
        yield store("waiting", is_waiting, RELEASE, "post")
    return end_turn, (world, after, has_begun_to_wait or (is_waiting and not was_waiting))


def complete(world: World, done: int) -> Program:
    """The NIC. The law: it reads nothing of a ring that is no longer kept for it."""
    posted = yield until("posted", lambda posted: posted > done, "(NIC)")
    flushed = yield ghost("flushed")
    if flushed == GONE:
        raise Violation(f"reads {done} to {posted}, and the link was told to be flushed")
    yield store("done", posted, RELEASE, "(NIC)")
    if (yield exchange("armed", 0, "(NIC)")):
        yield exchange("bell", 1, "(NIC)")
    return complete, (world, posted)


def may_stop(threads: tuple[Thread, ...], newest: Any) -> str:
    """Nobody sleeps while something is left to do."""
    if any(thread.body is not None for thread in threads if thread.name == "sender"):
        return "stuck: sender"
    if newest("state") == FAILED:
        return "" if newest("flushed") == GONE else "stuck: it failed, and is never flushed"
    if newest("posted") != newest("tail"):
        return f"stuck: {newest('posted')} of {newest('tail')} frames are sent"
    return ""


def scenario(
    mutation: str = "", *, frames: int = 3, stops: bool = False, is_weak: bool = True
) -> dict[str, Any]:
    """A sender, the keeper's thread, and a NIC that completes whatever is posted.

    Args:
        mutation: what is changed.
        frames: that the sender publishes.
        stops: it ends the link behind them.
        is_weak: loads may return older stores; else one thread sees at once what another did, and
            more frames can be tried.
    """
    world = World(mutation, frames, stops)
    words = {"tail": 0, "posted": 0, "done": 0, "flushed": 0, "turn": FREE, "bell": 0}
    words |= {"waiting": False, "armed": 0}
    programs: dict[str, Call] = {
        "sender": (send, (world, 0)),
        "keeper": (keep, (world,)),
        "NIC": (complete, (world, 0)),
    }
    return {
        "initial": words | {"state": LIVE, "link": Link()},
        "programs": programs,
        "may_stop": may_stop,
        "stores_kept": 3 if is_weak else 1,
        "newest_only": ("turn", "bell", "posted", "done", "armed", "waiting")
        if is_weak
        else tuple(words | {"state": LIVE}),
    }
