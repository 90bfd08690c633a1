"""Waking: who sleeps wakes when there is news. The tail stands for all data. As wake.c has it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program
from tests.model.reading import all_done
from tests.model.steps import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    SEQ_CST,
    add,
    exchange,
    fence,
    load,
    sleep,
    store,
    until,
    wake,
)

NOT_WAITING, FUTEX, SOCKET = 0, 1, 2


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    tails: int  # how many times something is published
    readers: tuple[int, ...]  # how each of them waits
    cuts_off: bool
    closes: bool
    removes: bool = False  # limiting.py: the keeper is taken away at last

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation

    def has_any(self, *mutations: str) -> bool:
        """Tell whether this is the run with one of them."""
        return self.mutation in mutations


def publish(world: World, tail: int) -> Program:
    """publish: the end of finish_frame, then rq_wake_readers."""
    if tail > world.tails:
        return (cut_off, (world, 0)) if world.cuts_off else None
    yield store("tail", tail, RELEASE, "finish_frame")
    if not world.has("no_publisher_fence"):
        yield fence(SEQ_CST, "rq_wake_readers")
    return wake_readers, (world, tail, 0)


def wake_readers(world: World, tail: int, reader: int, is_futex_due: bool = False) -> Program:
    """The loop of rq_wake_readers, and rq_wake_reader."""
    if reader == len(world.readers):
        if is_futex_due:
            yield from wake_everybody()
        return publish, (world, tail + 1)
    waiting = yield load(f"waiting[{reader}]", RELAXED, "rq_wake_readers")
    if waiting != NOT_WAITING:
        if not world.has("cleared_after_wake"):
            waiting = yield exchange(f"waiting[{reader}]", NOT_WAITING, "rq_wake_reader")
        if waiting == SOCKET:
            yield add(f"socket[{reader}]", 1, "rq_wake_reader: send")
        elif waiting == FUTEX and world.has("cleared_after_wake"):
            yield from wake_everybody()
        elif waiting == FUTEX:
            is_futex_due = True
        if world.has("cleared_after_wake"):
            yield exchange(f"waiting[{reader}]", NOT_WAITING, "rq_wake_reader")
    return wake_readers, (world, tail, reader + 1, is_futex_due)


def wake_everybody() -> Program:
    """rq_wake_everybody."""
    yield add("wake_seq", 1, "rq_wake_everybody")
    yield wake("wake_seq", "rq_wake_everybody")
    return None


def cut_off(world: World, reader: int) -> Program:
    """cut_off, gate.c."""
    if reader == len(world.readers):
        return None
    yield store(f"cut_off[{reader}]", 1, RELEASE, "cut_off")
    if not world.has("cut_off_wakes_nobody"):
        yield from wake_everybody()
    return cut_off, (world, reader + 1)


def poll(world: World, reader: int, cursor: int) -> Program:
    """read_or_wait: is_cut_off, then rq_peek_frame; at the tail it goes to wait."""
    cut = 0
    if world.cuts_off:
        cut = yield load(f"cut_off[{reader}]", ACQUIRE, "is_cut_off")
    tail = yield load("tail", ACQUIRE, "rq_peek_frame")
    if cut != 0 or (tail == world.tails and not world.cuts_off and not world.closes):
        return leave, (world, reader)
    if tail != cursor:
        return poll, (world, reader, tail)
    body = arm if world.readers[reader] == SOCKET else sleep_until
    return body, (world, reader, cursor)


def leave(world: World, reader: int) -> Program:
    """rq_handle_leave."""
    if world.closes:
        yield store("busy", 0, RELEASE, "rq_handle_leave")
    return None


def has_news(world: World, reader: int, cursor: int) -> Any:
    """rq_reader_has_news, reader.h."""
    tail = yield load("tail", RELAXED, "rq_reader_has_news")
    if tail != cursor or not world.cuts_off:
        return tail != cursor
    cut = yield load(f"cut_off[{reader}]", RELAXED, "rq_reader_has_news")
    return cut != 0


def is_closing(world: World) -> Any:
    """rq_handle_is_closing."""
    if not world.closes:
        return False
    return (yield load("is_closing", RELAXED, "rq_handle_is_closing"))


def sleep_until(world: World, reader: int, cursor: int) -> Program:
    """One turn of sleep_until, reader.c, with a slice that never ends."""
    seen = 0
    if not world.has("seen_loaded_late"):
        seen = yield load("wake_seq", ACQUIRE, "sleep_until")
    yield store(f"waiting[{reader}]", FUTEX, RELAXED, "sleep_until")
    if not world.has("no_reader_fence"):
        yield fence(SEQ_CST, "sleep_until")
    if not (yield from has_news(world, reader, cursor)) and not (yield from is_closing(world)):
        if world.has("seen_loaded_late"):
            seen = yield load("wake_seq", ACQUIRE, "sleep_until")
        yield sleep("wake_seq", seen, "rq_futex_wait")
    yield store(f"waiting[{reader}]", NOT_WAITING, RELAXED, "sleep_until")
    if (yield from is_closing(world)):
        return leave, (world, reader)
    if (yield from has_news(world, reader, cursor)):
        return poll, (world, reader, cursor)
    return sleep_until, (world, reader, cursor)


def arm(world: World, reader: int, cursor: int) -> Program:
    """rq_reader_arm, then Batches._sleep: the event loop waits for a byte, and drains."""
    waiting = f"waiting[{reader}]"
    yield store(waiting, SOCKET, RELAXED, "rq_reader_arm")
    if not world.has("no_reader_fence"):
        yield fence(SEQ_CST, "rq_reader_arm")
    if (yield from has_news(world, reader, cursor)):
        yield store(waiting, NOT_WAITING, RELAXED, "rq_reader_arm")
    else:
        yield until(f"socket[{reader}]", lambda count: count != 0, "_sleep: await")
        yield exchange(f"socket[{reader}]", 0, "_sleep: drain")
    return poll, (world, reader, cursor)


def close(world: World) -> Program:
    """rq_reader_close, from another thread of the reader's process."""
    yield exchange("is_closing", 1, "rq_reader_close")
    return wait_idle, (world,)


def wait_idle(world: World) -> Program:
    """The end of rq_reader_close: wakes, and takes `busy` when the one inside has left."""
    yield wake("wake_seq", "rq_reader_close")
    if world.has("close_wakes_once"):
        yield until("busy", lambda busy: busy == 0, "rq_handle_wait_idle")
        return None
    busy = yield exchange("busy", 1, "rq_reader_close")
    return None if busy == 0 else (wait_idle, (world,))


def scenario(
    mutation: str = "",
    *,
    readers: tuple[int, ...] = (FUTEX,),
    tails: int = 2,
    cuts_off: bool = False,
    closes: bool = False,
) -> dict[str, Any]:
    """A publisher that publishes `tails` times, and readers that read, sleep and wake."""
    world = World(mutation, tails, readers, cuts_off, closes)
    words = {"tail": 0, "wake_seq": 0, "is_closing": 0, "busy": 1}
    programs: dict[str, Call] = {"publisher": (publish, (world, 1))}
    for reader in range(len(readers)):
        words |= {f"{word}[{reader}]": 0 for word in ("waiting", "cut_off", "socket")}
        programs[f"reader {reader}"] = (poll, (world, reader, 0))
    if closes:
        programs["closer"] = (close, (world,))
    return {
        "initial": words,
        "programs": programs,
        "may_stop": all_done,
        "stores_kept": 3,
        "newest_only": ("busy", *(f"socket[{i}]" for i in range(len(readers)))),
    }
