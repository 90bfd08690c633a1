"""The limit of wakes: what a sender defers, the keeper makes up for. As wake.c, keeper.c have it.

Whether a reader has credit is left open at every look, so time passes or stands still as it likes.
The keeper's sleep has no time limit here; in C its heartbeat ends it, which would make a lost wake
late. The readers are those of waking.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.model.machine import Call, Program, Thread
from tests.model.steps import (
    RELAXED,
    RELEASE,
    SEQ_CST,
    add,
    choose,
    exchange,
    fence,
    ghost,
    load,
    lock,
    set_ghost,
    sleep,
    store,
    unlock,
    wake,
)
from tests.model.waking import FUTEX, NOT_WAITING, SOCKET, World, poll, wake_everybody


def publish(world: World, tail: int) -> Program:
    """publish, publisher.c: one frame under the publish lock."""
    if tail > world.tails:
        return (remove, (world,)) if world.removes else None
    yield lock("lock", "rq_publisher_lock")
    yield store("tail", tail, RELEASE, "finish_frame")
    is_any_waiting = yield from is_any_looked_at(world)
    if is_any_waiting or not world.has_any("no_fence_while_deferred", "no_fence_of_either"):
        yield fence(SEQ_CST, "rq_wake_readers")
    return wake_readers, (world, 0, (published, (world, tail)))


def is_any_looked_at(world: World) -> Any:
    """Tell whether a reader is not deferred."""
    for reader in range(len(world.readers)):
        is_deferred = yield ghost(f"is_deferred[{reader}]")
        if not is_deferred:
            return True
    return False


def published(world: World, tail: int) -> Program:
    """The end of publish."""
    yield unlock("lock", "rq_publisher_unlock")
    return publish, (world, tail + 1)


def wake_readers(world: World, reader: int, then: Call, is_futex_due: bool = False) -> Program:
    """The loop of rq_wake_readers; the keeper comes here, too."""
    if reader == len(world.readers):
        if is_futex_due:
            yield from wake_everybody()
        return then
    is_deferred = yield ghost(f"is_deferred[{reader}]")
    if is_deferred:  # its word is `nobody_waits` meanwhile
        return wake_readers, (world, reader + 1, then, is_futex_due)
    waiting = yield load(f"waiting[{reader}]", RELAXED, "rq_wake_readers")
    if waiting == NOT_WAITING:
        return wake_readers, (world, reader + 1, then, is_futex_due)
    return wake_reader, (world, reader, then, is_futex_due)


def wake_reader(world: World, reader: int, then: Call, is_futex_due: bool) -> Program:
    """rq_wake_reader."""
    has_keeper = yield ghost("has_keeper")
    if has_keeper and (yield choose((True, False), "take_credit")) is False:
        return defer, (world, reader, then, is_futex_due)
    waiting = yield exchange(f"waiting[{reader}]", NOT_WAITING, "rq_wake_reader")
    if waiting == SOCKET:
        yield add(f"socket[{reader}]", 1, "rq_wake_reader: send")
    elif waiting == FUTEX:
        is_futex_due = True
    return wake_readers, (world, reader + 1, then, is_futex_due)


def defer(world: World, reader: int, then: Call, is_futex_due: bool) -> Program:
    """Defer, wake.c, and rq_keeper_ring."""
    yield set_ghost(f"is_deferred[{reader}]", True)
    if not world.has("bell_before_count"):
        yield add("deferred_count", 1, "defer", RELAXED)
    bell = 1
    if not world.has("bell_not_rung"):
        bell = yield exchange("bell", 1, "rq_keeper_ring")
    if bell == 0:
        yield wake("bell", "rq_keeper_ring")
    if world.has("bell_before_count"):
        yield add("deferred_count", 1, "defer", RELAXED)
    return wake_readers, (world, reader + 1, then, is_futex_due)


def keep(world: World) -> Program:
    """Keep, keeper.c: make_up and rq_wake_deferred. Its mutex matters only to its removal."""
    if world.removes:
        yield lock("mutex", "keep")
    has_keeper = yield ghost("has_keeper")
    count = 0
    if has_keeper:
        count = yield load("deferred_count", RELAXED, "rq_wake_deferred")
    if count == 0:
        return rest, (world, 0)
    yield lock("lock", "rq_wake_deferred")
    return make_up, (world, 0)


def make_up(world: World, reader: int) -> Program:
    """rq_wake_deferred under the lock: who has credit is looked at again."""
    if reader < len(world.readers):
        is_deferred = yield ghost(f"is_deferred[{reader}]")
        if is_deferred and (yield choose((True, False), "has_credit")):
            yield from readmit(reader)
        return make_up, (world, reader + 1)
    if world.has("readmitted_unlooked"):
        return made_up, (world,)
    if not world.has("no_fence_of_either"):
        yield fence(SEQ_CST, "rq_wake_readers")
    return wake_readers, (world, 0, (made_up, (world,)))


def made_up(world: World) -> Program:
    """The end of rq_wake_deferred."""
    left = yield load("deferred_count", RELAXED, "rq_wake_deferred")
    yield unlock("lock", "rq_publisher_unlock")
    return rest, (world, left)


def readmit(reader: int) -> Program:
    """Readmit, wake.c."""
    yield set_ghost(f"is_deferred[{reader}]", False)
    yield add("deferred_count", -1, "readmit", RELAXED)
    return None


def rest(world: World, left: int) -> Program:
    """The end of a turn: the keeper naps while some are left, else it sleeps until rung."""
    if world.removes:
        yield unlock("mutex", "keep")
    if left != 0 and not world.has("left_forgotten"):
        return keep, (world,)
    return sleep_until_rung, (world,)


def sleep_until_rung(world: World) -> Program:
    """sleep_until_rung, keeper.c."""
    bell = yield exchange("bell", 0, "sleep_until_rung")
    if bell == 0 or world.has("bell_cleared_unread"):
        yield sleep("bell", 0, "rq_futex_wait")
    return keep, (world,)


def remove(world: World) -> Program:
    """rq_keeper_remove: what was deferred is made up for here, and nothing is deferred any more."""
    yield lock("mutex", "rq_keeper_remove")
    yield lock("lock", "rq_publisher_lock")
    yield set_ghost("has_keeper", False)
    for reader in range(len(world.readers)):
        is_deferred = yield ghost(f"is_deferred[{reader}]")
        if is_deferred:
            yield from readmit(reader)
    if world.has("removal_wakes_nobody"):
        return removed, (world,)
    yield fence(SEQ_CST, "rq_wake_readers")
    return wake_readers, (world, 0, (removed, (world,)))


def removed(world: World) -> Program:
    """The end of rq_keeper_remove."""
    del world
    yield unlock("lock", "rq_publisher_unlock")
    yield unlock("mutex", "rq_keeper_remove")
    return None


def all_but_the_keeper(threads: tuple[Thread, ...], newest: Callable[[str], Any]) -> str:
    """Every thread came to its end, and the keeper sleeps."""
    del newest
    stuck = [t.name for t in threads if t.body is not None and t.name != "keeper"]
    return f"stuck: {' '.join(stuck)}" if stuck else ""


def scenario(
    mutation: str = "",
    *,
    readers: tuple[int, ...] = (FUTEX,),
    tails: int = 2,
    removes: bool = False,
) -> dict[str, Any]:
    """A publisher with a keeper, and readers that read, sleep and wake."""
    world = World(mutation, tails, readers, cuts_off=False, closes=False, removes=removes)
    words: dict[str, Any] = {"tail": 0, "wake_seq": 0, "lock": 0, "mutex": 0}
    words |= {"bell": 0, "deferred_count": 0, "has_keeper": True}
    programs: dict[str, Call] = {"publisher": (publish, (world, 1)), "keeper": (keep, (world,))}
    for reader in range(len(readers)):
        words |= {f"{word}[{reader}]": 0 for word in ("waiting", "socket")}
        words |= {f"is_deferred[{reader}]": False}
        programs[f"reader {reader}"] = (poll, (world, reader, 0))
    return {
        "initial": words,
        "programs": programs,
        "may_stop": all_but_the_keeper,
        "stores_kept": 2,
        "newest_only": ("lock", "mutex", "bell", *(f"socket[{i}]" for i in range(len(readers)))),
    }
