"""A link's turn: the sender and the keeper's thread post and poll, one at a time, and never wait.

Whoever finds the other one inside leaves word, and the other goes round once more. As link_hot.c
has it. What is sent is only counted: the bytes are `protecting`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Thread, Violation
from tests.model.steps import (
    ACQUIRE,
    RELEASE,
    SEQ_CST,
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
    return take_turn, (world, (send, (world, number + 1)))


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
    """The keeper's thread: asleep until it is rung, or a completion comes."""
    yield until("bell", bool, "rest_on_duty")
    yield exchange("bell", 0, "was_rung")
    return take_turn, (world, (keep, (world,)))


def take_turn(world: World, after: Call) -> Program:
    """rq_link_take_turn; then goes on with `after`."""
    turn = yield compare_exchange("turn", FREE, HELD, ACQUIRE, "rq_link_take_turn")
    if turn == FREE:
        return run, (world, after)
    if world.has("no_word_left"):
        return after
    found = yield compare_exchange("turn", turn, HELD_AGAIN, RELEASE, "rq_link_take_turn")
    return after if found == turn else (take_turn, (world, after))


def end_turn(world: World, after: Call) -> Program:
    """rq_link_end_turn."""
    if world.has("word_unread"):
        yield store("turn", FREE, RELEASE, "rq_link_end_turn")
        return after
    found = yield compare_exchange("turn", HELD, FREE, RELEASE, "rq_link_end_turn")
    if found == HELD:
        return after
    yield exchange("turn", HELD, "rq_link_end_turn")
    return run, (world, after)


def run(world: World, after: Call) -> Program:
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
    return post, (world, after, tail, link)


def post(world: World, after: Call, tail: int, link: Link) -> Program:
    """Post: one chain at a time, all that was published."""
    if link.sent < tail and link.sent == link.flushed:
        state = yield load("state", ACQUIRE, "rq_link_is_posting")
        if state == LIVE:
            link = link._replace(sent=tail)
            yield store("posted", tail, RELEASE, "rq_chain_post")
            yield set_ghost("link", link)
    return end_turn, (world, after)


def complete(world: World, done: int) -> Program:
    """The NIC. The law: it reads nothing of a ring that is no longer kept for it."""
    posted = yield until("posted", lambda posted: posted > done, "(NIC)")
    flushed = yield ghost("flushed")
    if flushed == GONE:
        raise Violation(f"reads {done} to {posted}, and the link was told to be flushed")
    yield store("done", posted, RELEASE, "(NIC)")
    yield exchange("bell", 1, "(NIC)")
    return complete, (world, posted)


def may_stop(threads: tuple[Thread, ...], newest: Any) -> str:
    """Nobody sleeps while something is left to do."""
    if any(thread.body is not None for thread in threads if thread.name == "sender"):
        return "stuck: sender"
    if newest("state") == FAILED:
        return "" if newest("flushed") == GONE else "stuck: it failed, and is never flushed"
    if newest("flushed") != newest("tail"):
        return f"stuck: {newest('flushed')} of {newest('tail')} frames are sent"
    return ""


def scenario(mutation: str = "", *, frames: int = 3, stops: bool = False) -> dict[str, Any]:
    """A sender, the keeper's thread, and a NIC that completes whatever is posted."""
    world = World(mutation, frames, stops)
    words = {"tail": 0, "posted": 0, "done": 0, "flushed": 0, "turn": FREE, "bell": 0}
    programs: dict[str, Call] = {
        "sender": (send, (world, 0)),
        "keeper": (keep, (world,)),
        "NIC": (complete, (world, 0)),
    }
    return {
        "initial": words | {"state": LIVE, "link": Link()},
        "programs": programs,
        "may_stop": may_stop,
        "stores_kept": 3,
        "newest_only": ("turn", "bell", "posted", "done"),
    }
