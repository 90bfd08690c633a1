"""The ring's small shape, what its publisher writes, and the steps in which the C code does so.

Positions count words, not bytes: a header is two words (position; then sequence, kind and size),
each message of a payload is one. Two words of a frame can thus come from two laps, and the two
words of a header, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Program
from tests.model.steps import RELAXED, RELEASE, fence, store

HEADER_WORDS = 2
MESSAGES, GAP, HEARTBEAT, END = "messages", "gap", "heartbeat", "end"


class Shape(NamedTuple):
    """The descriptor. As in C, capacity is at least four times the guard."""

    capacity: int
    guard: int
    stride: int
    mutation: str = ""

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation

    @property
    def room(self) -> int:
        """rq_room_bytes."""
        return self.capacity - self.guard

    def data(self, position: int) -> str:
        """rq_at: the word's place."""
        return f"data[{position % self.capacity}]"

    def index_word(self, stride_number: int, word: str) -> str:
        """rq_index_at: a word of the entry."""
        return f"index[{stride_number % (self.capacity // self.stride)}].{word}"

    def memory(self) -> dict[str, Any]:
        """A fresh segment: zeroed, the tail at `capacity`."""
        words: dict[str, Any] = {f"data[{at}]": 0 for at in range(self.capacity)}
        for entry in range(self.capacity // self.stride):
            words |= {f"index[{entry}].position": 0, f"index[{entry}].sequence": 0}
        return words | {"tail": self.capacity, "origin_sequence": 0}


class Frame(NamedTuple):
    """What one call publishes: `message_count` messages, or a frame of another kind."""

    kind: str
    message_count: int = 0

    @property
    def payload_words(self) -> int:
        """A gap's payload is one word here: (first, last)."""
        return 1 if self.kind == GAP else self.message_count if self.kind == MESSAGES else 0

    @property
    def words(self) -> int:
        """rq_frame_bytes."""
        return HEADER_WORDS + self.payload_words

    @property
    def sequences(self) -> int:
        """How many sequences it consumes."""
        return self.message_count


class Publisher(NamedTuple):
    """struct rq_publisher."""

    tail: int
    next_sequence: int = 1
    indexed_stride: int = -1


def begin_burst() -> Program:
    """begin_burst, publish_hot.c."""
    yield fence(RELEASE, "begin_burst")
    return None


def after(publisher: Publisher, frame: Frame) -> Publisher:
    """The publisher's own words behind a frame."""
    return publisher._replace(
        tail=publisher.tail + frame.words,
        next_sequence=publisher.next_sequence + frame.sequences,
    )


def payload_of(publisher: Publisher, frame: Frame) -> list[Any]:
    """The words of a payload: each message bears its sequence, a gap its first and last."""
    first = publisher.next_sequence
    if frame.kind == GAP:
        return [(first, first + frame.message_count - 1)]
    return [f"m{first + i}" for i in range(frame.payload_words)]


def write_frame(shape: Shape, publisher: Publisher, frame: Frame) -> Any:
    """rq_write_frame, publish_hot.c. Returns the publisher after it."""
    if not shape.has("no_writer_fence"):
        yield from begin_burst()
    if shape.has("tail_before_data"):
        new_tail = publisher.tail + frame.words
        yield store("tail", new_tail, RELEASE, "finish_frame")
    for i, word in enumerate(payload_of(publisher, frame)):
        place = shape.data(publisher.tail + HEADER_WORDS + i)
        yield store(place, word, RELAXED, "rq_write_frame")
    return (yield from finish_frame(shape, publisher, frame))


def finish_frame(shape: Shape, publisher: Publisher, frame: Frame) -> Any:
    """finish_frame and note_in_index, publish_hot.c."""
    tail, sequence = publisher.tail, publisher.next_sequence
    if frame.kind == END:
        sequence -= 1
    elif tail // shape.stride != publisher.indexed_stride:
        stride = tail // shape.stride
        publisher = publisher._replace(indexed_stride=stride)
        yield store(shape.index_word(stride, "position"), tail, RELAXED, "note_in_index")
        yield store(shape.index_word(stride, "sequence"), sequence, RELAXED, "note_in_index")
    yield store(shape.data(tail), tail, RELAXED, "finish_frame")
    yield store(shape.data(tail + 1), (sequence, *frame), RELAXED, "finish_frame")
    if tail == shape.capacity:
        yield store("origin_sequence", publisher.next_sequence, RELAXED, "finish_frame")
    publisher = after(publisher, frame)
    if not shape.has("tail_before_data"):
        order = RELAXED if shape.has("tail_not_released") else RELEASE
        yield store("tail", publisher.tail, order, "finish_frame")
    return publisher


class Truth(NamedTuple):
    """What was really published, for the checks: by position, the first sequence and the frame."""

    frames: dict[int, tuple[int, Frame]]
    next_sequence: dict[int, int]  # by tail


def truth_of(shape: Shape, frames: tuple[Frame, ...]) -> Truth:
    """Publish the frames on paper."""
    publisher = Publisher(shape.capacity)
    truth = Truth({}, {shape.capacity: 1})
    for frame in frames:
        sequence = publisher.next_sequence - (frame.kind == END)
        truth.frames[publisher.tail] = (sequence, frame)
        publisher = after(publisher, frame)
        truth.next_sequence[publisher.tail] = publisher.next_sequence
    return truth
