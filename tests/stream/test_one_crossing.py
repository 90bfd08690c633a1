"""Batches cross into C once: counted, since the cost of a small batch is its crossings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import SHM, TICK, Link, take, ticks_of


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(SHM) as made:
        yield made


def crossings(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Runs `call`; returns its result and the names of rdmaq's C functions that it called.

    The interpreter reports each call of a C function to the profiler, so nothing is replaced and
    nothing can be missed: cffi's functions by their own names, the hot methods by theirs.
    """
    names: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        name = getattr(argument, "__name__", "")
        owner = getattr(argument, "__self__", None)
        is_hot = isinstance(owner, rdmaq.Publisher | rdmaq.Subscription)
        if event == "c_call" and (is_hot or name.startswith("rq_")):
            names.append(name)

    sys.setprofile(note)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return result, names


def test_the_counter_counts(link: Link) -> None:
    """Two crossings are two: else the tests below could not fail."""
    pub = link.publish()
    _, names = crossings(lambda: (pub.send(b"a"), pub.send(b"b")))
    assert names == ["send", "send"]


@pytest.mark.parametrize("count", [1, 8, 300])
def test_send_batch_is_one_crossing_and_one_frame(link: Link, count: int) -> None:
    """By the interpreter's count of C calls, and by the ring's own count of frames."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    records = ticks_of(1, count)
    sequence, names = crossings(lambda: pub.send_batch(records))
    assert sequence == 1
    assert names == ["send_batch"]
    assert (pub.stats.frames, pub.stats.messages) == (1, count)
    assert take(sub).frame_counts.tolist() == [count]


def test_batch_of_several_frames_is_still_one_crossing(link: Link) -> None:
    """What is longer than the guard is split in C."""
    pub = link.publish(schema=TICK)
    records = ticks_of(1, 2000)
    _, names = crossings(lambda: pub.send_batch(records))
    assert names == ["send_batch"]
    assert pub.stats.frames == -(-2000 // (pub.message_bytes_max // TICK.itemsize))


def test_message_and_message_blocks_are_one_crossing_and_one_frame(link: Link) -> None:
    """send, and send_many of blocks that came length-prefixed."""
    pub = link.publish()
    assert crossings(lambda: pub.send(b"x")) == (1, ["send"])
    blocks = rdmaq.MessageBlocks(b"\x00\x01a\x00\x02bb" * 50, 100)
    assert crossings(lambda: pub.send_many(blocks)) == (2, ["_enter", "rq_send_blocks", "_leave"])
    assert pub.stats.frames == 2


def test_list_of_bytes_is_one_crossing_and_one_frame(link: Link) -> None:
    """Of several sizes, none among them; joined in C."""
    pub, sub = link.publish(), link.subscribe()
    messages = [bytes([n]) * n for n in range(100)]
    assert crossings(lambda: pub.send_many(messages)) == (1, ["_send_list"])
    assert pub.stats.frames == 1
    assert take(sub).messages == messages


@pytest.mark.parametrize(
    ("messages", "frames"),
    [
        ([b"a", bytearray(b"b"), memoryview(b"c")], 1),  # something else among them
        ([bytes(600)] * 20, 2),  # more than a frame holds
        ([b"x" * 8160, b""], 2),  # with its length before it one is longer than a frame
        ([], 0),
    ],
    ids=["other", "long", "longest", "none"],
)
def test_other_lists_go_by_python_and_arrive_the_same(
    link: Link, messages: list[Any], frames: int
) -> None:
    """C leaves all of such a list alone: nothing is published twice."""
    pub, sub = link.publish(), link.subscribe()
    assert pub.message_bytes_max == 8160
    sequence, names = crossings(lambda: pub.send_many(messages))
    assert (sequence, names[0]) == (1, "_send_list")
    assert "_enter" in names
    assert pub.stats.messages == len(messages)
    assert pub.stats.frames == frames
    got: list[bytes] = []
    while len(got) < len(messages):
        got += take(sub).messages
    assert got == [bytes(message) for message in messages]


@pytest.mark.parametrize("frames", [1, 20])
@pytest.mark.parametrize("kind", ["typed", "untyped"])
def test_poll_of_what_is_there_is_one_crossing(link: Link, kind: str, frames: int) -> None:
    """However many frames and messages the batch takes; so is a poll that finds nothing."""
    pub = link.publish(schema=TICK if kind == "typed" else None)
    sub = link.subscribe()
    sub.poll(0)
    for _ in range(frames):
        if kind == "typed":
            pub.send_batch(ticks_of(1, 10))
        else:
            pub.send_many([b"message"] * 10)
    batch, names = crossings(lambda: sub.poll(0))
    assert len(batch) == 10 * frames
    assert names == ["poll"]
    assert crossings(lambda: sub.poll(0)) == (None, ["poll"])


def test_iteration_is_no_call_but_the_loops_own(link: Link) -> None:
    """Ten batches of one hundred records and the end: the loop takes each from C by itself."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    sub.poll(0)
    for _ in range(10):
        pub.send_batch(ticks_of(1, 100))
    pub.close()
    sizes, names = crossings(lambda: [len(batch) for batch in sub.batches(max_messages=100)])
    assert sizes == [100] * 10
    assert names == []


def test_data_of_a_batch_is_no_crossing(link: Link) -> None:
    """Arrays and messages of a batch are windows into what the poll copied."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    pub.send_batch(ticks_of(1, 100))
    batch = take(sub)
    data, names = crossings(lambda: (batch.data, batch.sequence, len(batch), batch.gap)[0])
    assert names == []
    assert np.array_equal(data, ticks_of(1, 100))
