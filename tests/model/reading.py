"""A reader of a lossy ring: peek, copy or borrow, lap, resync, holes. As frame_hot.c has it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Thread, Violation
from tests.model.ring import (
    END,
    GAP,
    HEADER_WORDS,
    HEARTBEAT,
    MESSAGES,
    Frame,
    Publisher,
    Shape,
    truth_of,
    write_frame,
)
from tests.model.steps import ACQUIRE, RELAXED, choose, fence, load

RESYNC_TRIES_MAX = 2  # 64 in C: what a third try finds, a later poll finds, too


class Reader(NamedTuple):
    """struct rq_reader."""

    cursor: int
    next_sequence: int = 0
    hole_end: int = 0
    is_lapped: bool = False
    taken: int = 0  # blocks_taken, of the frame at the cursor
    passed: int = 0  # not in C: sequences below it were delivered or declared


class World(NamedTuple):
    """What does not change in a run."""

    shape: Shape
    frames: tuple[Frame, ...]
    is_borrowing: bool
    refusal_ends: bool  # EBADMSG is a quiet end, so that what lies behind it is found


def is_intact(shape: Shape, position: int, where: str) -> Any:
    """rq_reader_is_intact, reader.h. Returns whether it is, and the tail."""
    if not shape.has("no_reader_fence"):
        yield fence(ACQUIRE, where)
    tail = yield load("tail", ACQUIRE, where)
    room = shape.capacity if shape.has("guard_0") else shape.room
    return 0 <= tail - position <= room, tail


def publish_all(world: World, publisher: Publisher, number: int) -> Program:
    """The publisher: every frame in turn. A lossy one waits for nobody."""
    if number == len(world.frames):
        return None
    publisher = yield from write_frame(world.shape, publisher, world.frames[number])
    return publish_all, (world, publisher, number + 1)


def peek_frame(world: World, reader: Reader) -> Program:
    """rq_peek_frame, up to the guard rule."""
    shape = world.shape
    if reader.hole_end > reader.next_sequence:
        return take_hole, (world, reader)
    tail = yield load("tail", ACQUIRE, "rq_peek_frame")
    if tail == reader.cursor:
        return find_nothing, (world, reader)
    if reader.next_sequence == 0:
        origin = yield load("origin_sequence", RELAXED, "rq_reader_next_sequence")
        reader = reader._replace(next_sequence=origin)
        if origin == 0:
            if world.refusal_ends:
                return None
            raise Violation("the tail moved, and yet no first sequence is known: EBADMSG")
    if reader.is_lapped:
        return resync, (world, reader, 0)
    position = yield load(shape.data(reader.cursor), RELAXED, "rq_peek_frame")
    meta = yield load(shape.data(reader.cursor + 1), RELAXED, "rq_peek_frame")
    gap = None
    if meta != 0 and not isinstance(meta, str | int) and len(meta) == 3 and meta[1] == GAP:
        gap = yield load(shape.data(reader.cursor + 2), RELAXED, "rq_peek_frame")
    if not shape.has("header_before_check"):
        intact, _ = yield from is_intact(shape, reader.cursor, "rq_peek_frame")
        if not intact:
            return peek_frame, (world, reader._replace(is_lapped=True))
    return use_header, (world, reader, position, meta, gap)


def use_header(world: World, reader: Reader, position: Any, meta: Any, gap: Any) -> Call | None:
    """rq_peek_frame after the guard rule: header_is_sane and classify."""
    is_header = isinstance(meta, tuple) and len(meta) == 3
    if position != reader.cursor or not is_header:
        if world.refusal_ends:
            return None
        what = f"at {reader.cursor} stands the header ({position}, {meta})"
        raise Violation(f"{what}, refused although the publisher is honest: EBADMSG")
    sequence, kind, count = meta
    frame = Frame(kind, count)
    begin = sequence + (kind == END)
    if begin > reader.next_sequence:
        return peek_frame, (world, reader._replace(hole_end=begin))
    if begin + reader.taken < reader.next_sequence and kind != GAP:
        raise Violation(f"{reader.next_sequence - 1} was passed over, and yet it stands whole here")
    if kind == END:
        return find_end, (world, reader, sequence)
    if kind == HEARTBEAT:
        return peek_frame, (world, reader._replace(cursor=reader.cursor + frame.words))
    if kind == GAP:
        return take_gap, (world, reader, frame, gap)
    return copy_frame, (world, reader, frame)


def copy_frame(world: World, reader: Reader, frame: Frame) -> Program:
    """copy_frame and the guard rule in rq_read_batch, with room for one message.

    Borrowing differs in this: the same words are looked at in place, and checked once more.
    """
    shape = world.shape
    if shape.has("check_hoisted"):
        intact, _ = yield from is_intact(shape, reader.cursor, "rq_read_batch")
    place = shape.data(reader.cursor + HEADER_WORDS + reader.taken)
    word = yield load(place, RELAXED, "copy_frame")
    if not shape.has("check_hoisted"):
        intact, _ = yield from is_intact(shape, reader.cursor, "rq_read_batch")
    if not intact:
        return peek_frame, (world, reader._replace(is_lapped=True))
    if world.is_borrowing:
        return use_borrowed, (world, reader, frame)
    return accept, (world, reader, frame, word)


def use_borrowed(world: World, reader: Reader, frame: Frame) -> Program:
    """What the caller of rq_reader_borrow does, and end_borrow."""
    place = world.shape.data(reader.cursor + HEADER_WORDS + reader.taken)
    word = yield load(place, RELAXED, "(the caller)")
    if not world.shape.has("release_unchecked"):
        intact, _ = yield from is_intact(world.shape, reader.cursor, "end_borrow")
        if not intact:
            return peek_frame, (world, reader._replace(is_lapped=True))
    consume = yield choose((True, False), "rq_reader_release consume")
    if not consume:
        return peek_frame, (world, reader)
    return accept, (world, reader, frame, word)


def accept(world: World, reader: Reader, frame: Frame, word: Any) -> Call | None:
    """accept, read_hot.c."""
    if word != f"m{reader.next_sequence}":
        raise Violation(f"torn or stale: {word} was delivered as {reader.next_sequence}")
    reader = deliver(world, reader, reader.next_sequence)
    if reader.taken + 1 == frame.message_count:
        reader = reader._replace(cursor=reader.cursor + frame.words, taken=0)
    else:
        reader = reader._replace(taken=reader.taken + 1)
    return peek_frame, (world, reader)


def deliver(world: World, reader: Reader, last: int) -> Reader:
    """The law: sequences are passed in order, each once."""
    if reader.next_sequence != reader.passed + 1:
        raise Violation(f"{reader.next_sequence} follows on {reader.passed}")
    return reader._replace(next_sequence=last + 1, passed=last)


def take_gap(world: World, reader: Reader, frame: Frame, gap: Any) -> Call | None:
    """take_gap and tell_gap."""
    if not isinstance(gap, tuple):
        if world.refusal_ends:
            return None
        raise Violation(f"the gap {gap} is refused although the publisher is honest: EBADMSG")
    if gap[1] < reader.next_sequence:
        return peek_frame, (world, reader._replace(cursor=reader.cursor + frame.words))
    if gap != (reader.next_sequence, reader.next_sequence + frame.message_count - 1):
        raise Violation(f"the gap {gap} was told at {reader.next_sequence}")
    reader = deliver(world, reader, gap[1])
    return peek_frame, (world, reader._replace(cursor=reader.cursor + frame.words))


def take_hole(world: World, reader: Reader) -> Call | None:
    """take_hole and tell_gap: all of it is told."""
    newest = truth_of(world.shape, world.frames).next_sequence
    if reader.hole_end > max(newest.values()):
        raise Violation(f"declares {reader.hole_end - 1}, which was never published")
    return peek_frame, (world, deliver(world, reader, reader.hole_end - 1))


def resync(world: World, reader: Reader, tries: int) -> Program:
    """resync, frame_hot.c: where to begin in the index."""
    shape = world.shape
    if tries == RESYNC_TRIES_MAX:
        return peek_frame, (world, reader)  # RQ_PEEK_NOTHING, and the caller polls again
    tail = yield load("tail", ACQUIRE, "resync")
    limit = tail - shape.room + shape.guard
    return try_entry, (world, reader, tries, tail, limit // shape.stride)


def try_entry(world: World, reader: Reader, tries: int, tail: int, stride: int) -> Program:
    """The loop of resync: one entry, which is a hint."""
    shape = world.shape
    limit = tail - shape.room + shape.guard
    if stride - limit // shape.stride > shape.capacity // shape.stride - 1:
        return resync, (world, reader, tries + 1)
    position = yield load(shape.index_word(stride, "position"), RELAXED, "resync")
    sequence = yield load(shape.index_word(stride, "sequence"), RELAXED, "resync")
    if not limit <= position < tail:
        return try_entry, (world, reader, tries, tail, stride + 1)
    if not shape.has("hint_believed"):
        found_position = yield load(shape.data(position), RELAXED, "resync")
        meta = yield load(shape.data(position + 1), RELAXED, "resync")
        intact, _ = yield from is_intact(shape, position, "resync")
        if not intact:
            return resync, (world, reader, tries + 1)
        if (
            found_position != position
            or not isinstance(meta, tuple)
            or len(meta) != 3
            or meta[0] != sequence
        ):
            return try_entry, (world, reader, tries, tail, stride + 1)
    reader = reader._replace(cursor=position, is_lapped=False, taken=0)
    if sequence > reader.next_sequence:
        reader = reader._replace(hole_end=sequence)
    return peek_frame, (world, reader)


def find_nothing(world: World, reader: Reader) -> Call | None:
    """RQ_PEEK_NOTHING at the tail. The law: received + declared = published."""
    published = truth_of(world.shape, world.frames).next_sequence.get(reader.cursor)
    if reader.next_sequence not in (0, published):
        raise Violation(f"at tail {reader.cursor}: {published} comes next, not {reader.passed + 1}")
    return peek_frame, (world, reader)


def find_end(world: World, reader: Reader, final: int) -> Call | None:
    """RQ_POLL_END. The law: received + declared = published."""
    if reader.passed != final:
        raise Violation(f"the end after {final}, and {reader.passed} was the last passed")
    return None


M, M2, H, G, E = (
    Frame(MESSAGES, 1),
    Frame(MESSAGES, 2),
    Frame(HEARTBEAT),
    Frame(GAP, 2),
    Frame(END),
)


def scenario(
    mutation: str = "",
    *,
    is_borrowing: bool = False,
    refusal_ends: bool = False,
) -> dict[str, Any]:
    """A ring of sixteen words, lapped twice: frames of two to four words that wrap."""
    shape = Shape(capacity=16, guard=4, stride=4, mutation=mutation)
    frames = (M, M2, H, M, M2, M, G, M2, M, M2, E)
    world = World(shape, frames, is_borrowing, refusal_ends)
    calls: dict[str, Call] = {
        "publisher": (publish_all, (world, Publisher(shape.capacity), 0)),
        "reader": (peek_frame, (world, Reader(shape.capacity))),
    }
    return {
        "initial": shape.memory(),
        "programs": calls,
        "first": "publisher",
        "may_stop": all_done,
    }


def all_done(threads: tuple[Thread, ...], newest: Any) -> str:
    """Every thread came to its end."""
    stuck = [thread.name for thread in threads if thread.body is not None]
    return f"stuck: {' '.join(stuck)}" if stuck else ""
