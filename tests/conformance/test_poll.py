"""What one poll returns: how much, into what, and when nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import (
    TICK,
    Link,
    message_of,
    take,
    take_gap,
    take_messages,
    ticks_of,
)


def messages_of(first: int, last: int) -> list[bytes]:
    """Short ones: a hundred go into one frame."""
    return [message_of(s, 61) for s in range(first, last + 1)]


@pytest.mark.parametrize("wait", ["auto", "spin", "yield", "sleep"])
def test_poll_without_messages_returns_none_after_the_timeout(link: Link, wait: str) -> None:
    """No sooner than asked (0 s, within a slice, over several); None is not an empty batch."""
    link.publish()
    sub = link.subscribe(wait=wait)
    for timeout in (0, 0.01, 0.12, -1):
        began = time.monotonic()
        assert sub.poll(timeout) is None
        assert time.monotonic() - began >= 0.95 * timeout


def test_max_messages_cuts_a_frame_into_parts(link: Link) -> None:
    """Blocks and records of 100 in parts of 7: sequences run on, frame counts add up."""
    pub, typed = link.publish(), link.publish("typed", TICK)
    sub, typed_sub = link.subscribe(), link.subscribe("typed")
    pub.send_many(messages_of(1, 100))
    typed.send_batch(ticks_of(1, 100))
    for first in range(1, 101, 7):
        count = min(7, 101 - first)
        batch, records = take(sub, max_messages=7), take(typed_sub, max_messages=7)
        assert (batch.sequence, len(batch)) == (records.sequence, len(records)) == (first, count)
        assert batch.messages == messages_of(first, first + count - 1)
        assert np.array_equal(records.data, ticks_of(first, count))
        assert batch.frame_counts.tolist() == [count]
        assert sub.position == first + count
    link.settle()
    assert sub.poll(0) is None


def test_batch_spans_frames_up_to_max_messages(link: Link) -> None:
    """Frames of 1, 3, 1 and 5 in a batch of 7: counts and latencies, one entry a frame."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(message_of(1, 61))
    pub.send_many(messages_of(2, 4))
    pub.send(message_of(5, 61))
    pub.send_many(messages_of(6, 10))
    link.settle()
    batch = take(sub, max_messages=7)
    assert batch.messages == list(batch) == messages_of(1, 7)
    assert batch.frame_counts.tolist() == [1, 3, 1, 2]
    if link.transport.has_one_clock:
        assert batch.frame_latency_ns.shape == (4,)
        assert batch.frame_latency_ns.dtype == np.int64
        assert (batch.frame_latency_ns >= 0).all()
        assert (np.diff(batch.frame_latency_ns) <= 0).all(), "later frames waited less"
    else:
        with pytest.raises(rdmaq.UnsupportedTransport, match="whose clock is not ours"):
            _ = batch.frame_latency_ns
    assert take(sub).messages == messages_of(8, 10)


def test_offsets_and_data_describe_the_messages(link: Link) -> None:
    """Message i is data[offsets[i]:offsets[i+1]], for one message, several and records."""
    pub, sub = link.publish(), link.subscribe()
    for messages in ([b"alone"], [b""], [b"a", b"", b"ccc"]):
        pub.send_many(messages)
        batch = take(sub)
        assert batch.offsets.dtype == np.uint32
        assert batch.offsets.tolist() == np.cumsum([0, *map(len, messages)]).tolist()
        assert batch.data.dtype == np.uint8
        assert batch.data.tobytes() == b"".join(messages)
    typed, typed_sub = link.publish("typed", TICK), link.subscribe("typed")
    typed.send_batch(ticks_of(1, 3))
    records = take(typed_sub)
    assert records.offsets.tolist() == [0, 24, 48, 72]
    assert records.messages == [record.tobytes() for record in ticks_of(1, 3)]
    assert [record.item() for record in records] == [r.item() for r in ticks_of(1, 3)]


def test_times_are_the_publishers_clock(link: Link) -> None:
    """Between the wall clock before and after the send, to what its table can be off."""
    pub, sub = link.publish(), link.subscribe()
    slack_ns = 1_000_000
    before_ns = time.time_ns()
    pub.send(b"x")
    after_ns = time.time_ns()
    batch = take(sub)
    assert before_ns - slack_ns <= batch.time_ns <= after_ns + slack_ns
    assert batch.time == np.datetime64(batch.time_ns, "ns")


def test_message_larger_than_the_buffer_makes_the_buffer_grow(link: Link) -> None:
    """1 MiB ring messages beyond the scratch of 256 KiB, between small ones: nothing is lost."""
    pub = link.publish(capacity="8MiB")
    sub = link.subscribe()
    large = np.arange(pub.message_bytes_max, dtype=np.uint8).tobytes()
    assert len(large) > 256 << 10
    for _ in range(3):
        pub.send(b"small")
        pub.send(large)
        assert take_messages(sub, 2) == [b"small", large]
    assert sub.stats.batches >= 3


def test_into_takes_the_copy_and_batch_data_is_a_part_of_it(link: Link) -> None:
    """Typed and untyped; the next poll writes over it; position and stats go on as ever."""
    typed, sub = link.publish("typed", TICK), link.subscribe("typed")
    mine = np.zeros(10, dtype=TICK)
    typed.send_batch(ticks_of(1, 14))
    batch = take(sub, into=mine)
    assert len(batch) == 10
    assert np.shares_memory(batch.data, mine)
    assert np.array_equal(mine, ticks_of(1, 10))
    batch = take(sub, into=mine)
    assert np.array_equal(batch.data, ticks_of(11, 4))
    assert np.array_equal(mine[:4], ticks_of(11, 4))
    pub, raw_sub, raw = link.publish(), link.subscribe(), bytearray(8)
    pub.send_many([b"abc", b"defgh", b"ijk"])
    assert take(raw_sub, into=raw).messages == [b"abc", b"defgh"]
    assert raw == b"abcdefgh"
    assert take(raw_sub, into=raw).messages == [b"ijk"]
    assert raw[:3] == b"ijk"


def test_into_that_is_too_small_or_read_only_is_refused_and_nothing_is_lost(link: Link) -> None:
    """The message stays where it is, and comes with the next poll."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"longer than four")
    link.settle()
    with pytest.raises(ValueError, match="into= is too small"):
        sub.poll(0, into=bytearray(4))
    with pytest.raises((ValueError, BufferError, TypeError)):
        sub.poll(0, into=b"read only bytes object")
    assert sub.stats.messages == 0
    assert take_messages(sub, 1) == [b"longer than four"]


def test_gaps_come_through_into_as_well(link: Link) -> None:
    """The buffer is not touched by a gap."""
    pub, sub, mine = link.publish(), link.subscribe(), bytearray(b"untouched")
    pub.send_gap(1, 2)
    assert take(sub, into=mine).gap == rdmaq.Gap(1, 2, "upstream", pub.epoch)
    assert mine == b"untouched"


@pytest.mark.parametrize("max_messages", [0, -1, 1 << 24, 1 << 40])
def test_impossible_max_messages_is_refused(link: Link, max_messages: int) -> None:
    """By poll, view and batches alike, before anything is read."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"x")
    link.settle()
    with pytest.raises(ValueError, match="max_messages"):
        sub.poll(0, max_messages=max_messages)
    with pytest.raises(ValueError, match="max_messages"), sub.view(0, max_messages=max_messages):
        pass
    with pytest.raises(ValueError, match="max_messages"):
        next(iter(sub.batches(max_messages=max_messages)))
    assert take_messages(sub, 1) == [b"x"]


def test_iteration_ends_with_the_stream_or_the_timeout_and_ended_tells_which(link: Link) -> None:
    """`for batch in sub` sees everything, gaps included, and stops without an exception."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_many(messages_of(1, 5))
    pub.send_gap(6, 6)
    link.settle()
    assert [len(batch) for batch in sub.batches(max_messages=3, timeout=0)] == [3, 2, 0]
    ended_by_timeout = sub.ended
    pub.send(message_of(7, 61))
    pub.close()
    assert [batch.messages for batch in sub] == [[message_of(7, 61)]]
    assert (ended_by_timeout, sub.ended) == (False, True)
    assert list(sub) == []
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll()


def test_gap_batch_has_the_form_of_a_batch(link: Link) -> None:
    """Every attribute answers, with nothing in it; it is true, since it is something."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_gap(1, 3)
    assert take_gap(sub).count == 3
    pub.send_gap(4, 4)
    batch = take(sub)
    assert bool(batch) is True
    assert (len(batch), batch.sequence, batch.epoch) == (0, 4, pub.epoch)
    assert batch.data.size == 0
    assert batch.offsets.tolist() == [0]
    assert list(batch) == []
    assert "Gap" in repr(batch)
