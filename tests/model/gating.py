"""Reliable flow: the gate, cutting off, joining, claims. As gate.c, admit.c and start.c have it.

A frame is one word here and holds its own position, so position and sequence are one. What the
publish lock guards (struct rq_publisher) is one value, read and written without steps of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Violation
from tests.model.reading import all_done
from tests.model.steps import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    choose,
    fence,
    ghost,
    load,
    lock,
    set_ghost,
    store,
    unlock,
    until,
)

CAPACITY, GUARD, END_RESERVE = 4, 1, 1
ROOM = CAPACITY - GUARD - END_RESERVE
OLDEST, LIVE, STOPPED, HOSTILE, MEMBER = "oldest", "live", "stopped", "hostile", "member"
SEND, CLAIM = "send", "claim"
NO_LIMIT = 99


class Admitted(NamedTuple):
    """struct rq_admitted."""

    number: int
    cursor_seen: int
    is_gating: bool = True


class Publisher(NamedTuple):
    """struct rq_publisher: what its lock guards."""

    tail: int
    limit: int = 0
    readers: tuple[Admitted, ...] = ()
    is_claimed: bool = False
    excuses: int = 0  # not in C: how often a reader that was in the way was seen to move


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    frames: tuple[str, ...]
    readers: tuple[str, ...]
    readers_min: int
    is_patient: bool  # its timeout never comes

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation

    @property
    def last(self) -> int:
        """The tail after the last frame."""
        return CAPACITY + len(self.frames)


# ---- the gate ----


def look_at_cursor(world: World, publisher: Publisher, at: int) -> Any:
    """look_at_cursor. Returns the publisher."""
    reader = publisher.readers[at]
    cursor = yield load(f"cursor[{reader.number}]", ACQUIRE, "look_at_cursor")
    is_bad = cursor < reader.cursor_seen and not world.has("cursor_runs_back")
    if is_bad or cursor > publisher.tail:
        return (yield from cut_off(world, publisher, at))
    return _with(publisher, at, reader._replace(cursor_seen=cursor))


def cut_off(world: World, publisher: Publisher, at: int) -> Any:
    """cut_off; the wake is the waking model's. Returns the publisher."""
    reader = publisher.readers[at]
    yield set_ghost(f"is_cut[{reader.number}]", True)
    if not world.has("cut_off_untold"):
        yield store(f"cut_off[{reader.number}]", 1, RELEASE, "cut_off")
    return _with(publisher, at, reader._replace(is_gating=False))


def gate_refresh(world: World, publisher: Publisher) -> Any:
    """rq_gate_refresh. Returns the publisher."""
    limit = NO_LIMIT
    room = ROOM + 1 if world.has("end_not_reserved") else ROOM
    for at in range(len(publisher.readers)):
        if publisher.readers[at].is_gating:
            publisher = yield from look_at_cursor(world, publisher, at)
        if publisher.readers[at].is_gating:
            limit = min(limit, publisher.readers[at].cursor_seen + room)
    if sum(reader.is_gating for reader in publisher.readers) < world.readers_min:
        limit = 0
    return publisher._replace(limit=limit)


def gate_is_open(world: World, publisher: Publisher) -> Any:
    """rq_gate_is_open for one frame. Returns the publisher; open when the limit allows it."""
    if publisher.tail + 1 <= publisher.limit:
        return publisher
    return (yield from gate_refresh(world, publisher))


def try_gate(world: World, number: int) -> Program:
    """try_gate and cut_off_stalled; a failed try goes round, as wait_at_gate does."""
    yield lock("lock", "try_gate")
    publisher: Publisher = yield ghost("publisher")
    before = [reader.cursor_seen for reader in publisher.readers]
    publisher = yield from gate_is_open(world, publisher)
    if publisher.tail + 1 > publisher.limit:
        for at, reader in enumerate(publisher.readers):
            if not reader.is_gating:
                continue
            if reader.cursor_seen != before[at]:
                publisher = publisher._replace(excuses=publisher.excuses + 1)
                if publisher.excuses > publisher.tail - CAPACITY:
                    raise Violation("a reader holds the gate shut, and excuses itself for ever")
            elif reader.cursor_seen + ROOM < publisher.tail + 1:
                clocks = ("in time",) if world.is_patient else ("in time", "timed out")
                if (yield choose(clocks, "cut_off_stalled")) == "timed out":
                    publisher = yield from cut_off(world, publisher, at)
        publisher = yield from gate_is_open(world, publisher)
    yield set_ghost("publisher", publisher)
    yield unlock("lock", "try_gate")
    is_open = publisher.tail + 1 <= publisher.limit
    return (publish if is_open else try_gate), (world, number)


# ---- publishing ----


def publish(world: World, number: int) -> Program:
    """publish, or rq_claim and rq_commit, publisher.c."""
    if number == len(world.frames):
        return write_end, (world,)
    yield lock("lock", "publish")
    publisher: Publisher = yield ghost("publisher")
    publisher = yield from gate_is_open(world, publisher)
    if publisher.tail + 1 > publisher.limit:
        yield set_ghost("publisher", publisher)
        yield unlock("lock", "publish")
        return try_gate, (world, number)
    if world.frames[number] == SEND:
        yield from write_word(world, publisher.tail)
        yield store("tail", publisher.tail + 1, RELEASE, "finish_frame")
        yield set_ghost("publisher", publisher._replace(tail=publisher.tail + 1))
        yield unlock("lock", "publish")
        return publish, (world, number + 1)
    yield set_ghost("publisher", publisher._replace(is_claimed=True))
    yield unlock("lock", "rq_claim")
    yield from write_word(world, publisher.tail)
    yield lock("lock", "rq_commit")
    publisher = yield ghost("publisher")
    yield store("tail", publisher.tail + 1, RELEASE, "finish_frame")
    yield set_ghost("publisher", publisher._replace(tail=publisher.tail + 1, is_claimed=False))
    yield unlock("lock", "rq_commit")
    return publish, (world, number + 1)


def write_end(world: World) -> Program:
    """rq_publisher_close: it asks nobody, room is kept for it."""
    yield lock("lock", "rq_publisher_close")
    publisher: Publisher = yield ghost("publisher")
    yield from write_word(world, publisher.tail)
    yield store("tail", publisher.tail + 1, RELEASE, "finish_frame")
    yield set_ghost("publisher", publisher._replace(tail=publisher.tail + 1))
    yield unlock("lock", "rq_publisher_close")
    return None


def write_word(world: World, position: int) -> Program:
    """rq_write_frame. The law: what a reader that gates has not read is not written over."""
    yield fence(RELEASE, "begin_burst")
    for number, how in enumerate(world.readers):
        at = yield ghost(f"at[{number}]")
        is_cut = yield ghost(f"is_cut[{number}]")
        if at is not None and not is_cut and how != HOSTILE and position - CAPACITY >= at:
            raise Violation(f"writes {position} over {at}, which reader {number} has yet to read")
    yield store(f"data[{position % CAPACITY}]", position, RELAXED, "rq_write_frame")
    return None


# ---- joining ----


def enlist(world: World, number: int) -> Program:
    """enlist, admit.c, and rq_find_start: what the node's thread does for one reader."""
    yield lock("lock", "enlist")
    publisher: Publisher = yield ghost("publisher")
    room = ROOM - (publisher.is_claimed and not world.has("claim_forgotten"))
    position = publisher.tail
    if world.readers[number] != LIVE:
        position = max(CAPACITY, publisher.tail - room)
    if publisher.tail == world.last + 1:
        yield unlock("lock", "enlist")
        yield store(f"granted[{number}]", -1, RELEASE, "enlist: ESHUTDOWN")
        return None
    if world.has("join_race"):
        yield unlock("lock", "enlist")
    yield store(f"cursor[{number}]", position, RELEASE, "enlist")
    if world.has("join_race"):
        publisher = yield ghost("publisher")
    readers = (*publisher.readers, Admitted(number, position))
    limit = publisher.limit if world.has("limit_kept") else 0
    yield set_ghost("publisher", publisher._replace(readers=readers, limit=limit))
    yield set_ghost(f"at[{number}]", position)
    if not world.has("join_race"):
        yield unlock("lock", "enlist")
    yield store(f"granted[{number}]", position, RELEASE, "enlist: the grant")
    return None


# ---- reading ----


def read_first(world: World, number: int) -> Program:
    """rq_reader_open, when the grant has come."""
    position = yield until(f"granted[{number}]", bool, "rq_reader_open")
    if position < 0 or world.readers[number] == STOPPED:
        return None
    if world.readers[number] == HOSTILE:
        return lie, (world, number)
    return read, (world, number, position)


def read(world: World, number: int, cursor: int) -> Program:
    """read_or_wait, rq_read_batch: one frame."""
    if cursor == world.last:
        return None
    cut = yield load(f"cut_off[{number}]", ACQUIRE, "is_cut_off")
    if cut != 0:
        return None  # RQ_POLL_CUT_OFF: it is told
    tail = yield load("tail", ACQUIRE, "rq_peek_frame")
    if tail == cursor:
        return read, (world, number, cursor)
    if world.has("told_before_copy"):
        yield store(f"cursor[{number}]", cursor + 1, RELEASE, "rq_reader_advance")
    word = yield load(f"data[{cursor % CAPACITY}]", RELAXED, "copy_frame")
    yield fence(ACQUIRE, "rq_reader_is_intact")
    tail = yield load("tail", ACQUIRE, "rq_reader_is_intact")
    if tail - cursor > CAPACITY - GUARD:
        is_cut = yield ghost(f"is_cut[{number}]")
        if not is_cut:
            raise Violation(f"reader {number} is lapped at {cursor}, and was not cut off")
        return await_word, (world, number)
    if word != cursor:
        raise Violation(f"torn or stale: {word} was delivered as {cursor}")
    yield set_ghost(f"at[{number}]", cursor + 1)
    if not world.has("told_before_copy"):
        yield store(f"cursor[{number}]", cursor + 1, RELEASE, "rq_reader_advance")
    return read, (world, number, cursor + 1)


def await_word(world: World, number: int) -> Program:
    """The next polls of a reader that was cut off: the law says that it is told."""
    yield until(f"cut_off[{number}]", bool, "is_cut_off")
    return None


def lie(world: World, number: int) -> Program:
    """A hostile reader: it stores any cursor, as often as it likes."""
    cursors = (CAPACITY, CAPACITY + 1, CAPACITY + 5, None)
    cursor = yield choose(cursors, "(hostile)")
    if cursor is None:
        return None
    yield store(f"cursor[{number}]", cursor, RELEASE, "(hostile)")
    return lie, (world, number)


def scenario(
    mutation: str = "",
    *,
    frames: tuple[str, ...] = (SEND,) * 5,
    readers: tuple[str, ...] = (MEMBER,),
    readers_min: int = 0,
    is_patient: bool = True,
) -> dict[str, Any]:
    """A reliable publisher, members from the beginning, and readers that join when they like."""
    world = World(mutation, frames, readers, readers_min, is_patient)
    words: dict[str, Any] = {f"data[{at}]": 0 for at in range(CAPACITY)}
    words |= {"tail": CAPACITY, "lock": 0}
    programs: dict[str, Call] = {"publisher": (publish, (world, 0))}
    admitted = []
    for number, how in enumerate(readers):
        joins = how in (OLDEST, LIVE)
        start = 0 if joins else CAPACITY
        words |= {f"cursor[{number}]": start, f"granted[{number}]": start, f"cut_off[{number}]": 0}
        words |= {f"at[{number}]": start or None, f"is_cut[{number}]": False}
        programs[f"reader {number}"] = (read_first, (world, number))
        if joins:
            programs[f"node {number}"] = (enlist, (world, number))
        else:
            admitted.append(Admitted(number, CAPACITY))
    words["publisher"] = Publisher(CAPACITY, readers=tuple(admitted))
    kept = 2 if HOSTILE in readers or STOPPED in readers else 3
    return {
        "initial": words,
        "programs": programs,
        "may_stop": all_done,
        "stores_kept": kept,
        "newest_only": ("lock",),
    }


def _with(publisher: Publisher, at: int, reader: Admitted) -> Publisher:
    readers = publisher.readers
    return publisher._replace(readers=(*readers[:at], reader, *readers[at + 1 :]))
