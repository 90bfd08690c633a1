"""Messages of every size and form arrive as they were sent, or are refused whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, claim, message_of, take, take_messages, ticks_of


def test_messages_arrive_in_order_with_their_sequences(link: Link) -> None:
    """Send one by one, poll one by one: bytes, sequence and epoch are the publisher's."""
    pub, sub = link.publish(), link.subscribe()
    for sequence in range(1, 200):
        assert pub.send(message_of(sequence)) == sequence
        batch = take(sub)
        assert batch.gap is None
        assert batch.sequence == sequence
        assert batch.epoch == pub.epoch == sub.epoch
        assert batch.messages == [message_of(sequence)]
    link.settle()
    assert sub.poll(0) is None


def test_empty_message_arrives_as_an_empty_message(link: Link) -> None:
    """Nothing is not the same as no message: it has a sequence of its own."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"")
    pub.send_many([b"", b"a", b""])
    assert take_messages(sub, 4) == [b"", b"", b"a", b""]
    assert pub.next_sequence == sub.position == 5
    link.settle()
    assert sub.poll(0) is None


def test_largest_message_arrives_whole(link: Link) -> None:
    """The guard less a header is the limit, by send, by send_many and by claim."""
    pub, sub = link.publish(), link.subscribe()
    largest = bytes(range(256)) * (pub.message_bytes_max // 256 + 1)
    largest = largest[: pub.message_bytes_max]
    assert len(largest) == link.transport.message_bytes_max
    pub.send(largest)
    pub.send_many([b"x", largest])
    with pub.claim(len(largest)) as area:
        area[:] = largest
    assert take_messages(sub, 4) == [largest, b"x", largest, largest]


@pytest.mark.parametrize(
    "publish",
    [
        lambda pub, message: pub.send(message),
        lambda pub, message: pub.send_many([b"first", message]),
        claim,
    ],
    ids=["send", "send_many", "claim"],
)
def test_message_one_byte_too_long_is_refused_and_nothing_is_published(
    link: Link, publish: Callable[[rdmaq.Publisher, bytes], object]
) -> None:
    """Not even the messages before it in the same call: next_sequence and the reader stand."""
    pub, sub = link.publish(), link.subscribe()
    too_long = bytes(link.transport.message_bytes_max + 1)
    with pytest.raises(rdmaq.MessageTooLarge, match=f"{link.transport.message_bytes_max:,}"):
        publish(pub, too_long)
    assert pub.next_sequence == 1
    assert pub.stats.messages == 0
    assert sub.poll(0) is None
    pub.send(b"the stream goes on")
    assert take_messages(sub, 1) == [b"the stream goes on"]


def test_record_longer_than_a_frame_is_refused_at_publish(link: Link) -> None:
    """A stream of such records could carry nothing, so it is not offered."""
    record = np.dtype([("values", "u1", (link.transport.message_bytes_max + 1,))])
    with pytest.raises(rdmaq.MessageTooLarge, match="records of"):
        link.publish("wide", record)
    assert [stream.name for stream in link.peer.streams()] == []


def test_empty_batch_publishes_nothing_and_tells_the_next_sequence(link: Link) -> None:
    """An empty array and an empty list are no message, no frame and no error."""
    typed, untyped = link.publish("typed", TICK), link.publish("untyped")
    typed.send_batch(ticks_of(1, 3))
    assert typed.send_batch(ticks_of(4, 0)) == 4
    assert untyped.send_many([]) == 1
    assert untyped.send_many(rdmaq.MessageBlocks(b"", 0)) == 1
    assert (typed.stats.frames, untyped.stats.frames) == (1, 0)
    link.settle()
    assert link.subscribe("untyped", start="oldest").poll(0) is None


def test_batch_longer_than_the_guard_is_split_into_frames_without_loss(link: Link) -> None:
    """The records keep their order and sequences; the count of frames is the least possible."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    per_frame = link.transport.message_bytes_max // TICK.itemsize
    records = ticks_of(1, 3 * per_frame + 1)
    assert pub.send_batch(records) == 1
    assert pub.stats.frames == 4
    got = np.concatenate([take(sub, max_messages=per_frame).data for _ in range(4)])
    assert np.array_equal(got, records)
    link.settle()
    assert sub.poll(0) is None


def test_every_bytes_like_object_is_taken_as_its_bytes(link: Link) -> None:
    """bytes, bytearray, memoryview (also strided) and arrays are one and the same to a stream."""
    pub, sub = link.publish(), link.subscribe()
    forms = [
        b"ab",
        bytearray(b"ab"),
        memoryview(b"ab"),
        memoryview(b"a-b-")[::2],
        np.array([0x6261]),
    ]
    for form in forms:
        pub.send(form)
    pub.send_many(forms)
    texts = take_messages(sub, 10)
    assert texts[:4] == texts[5:9] == [b"ab"] * 4
    assert texts[4] == texts[9] == np.array([0x6261]).tobytes()
    with pytest.raises(rdmaq.SchemaError, match="untyped and takes bytes, not str"):
        pub.send("text")
    assert pub.next_sequence == 11


def test_typed_send_takes_tuples_and_records_and_nothing_else(link: Link) -> None:
    """One record by tuple, np.void and 0-d array; bytes, wrong tuples and arrays are refused."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    record = ticks_of(7, 1)
    for form in (record[0].item(), record[0], record[0].reshape(())):
        pub.send(form)
    for wrong in (record.tobytes(), (1, 2), "x", record, {"ts": 1}):
        with pytest.raises(rdmaq.SchemaError):
            pub.send(wrong)
    assert pub.next_sequence == 4
    link.settle()
    batch = take(sub, max_messages=10)
    assert np.array_equal(batch.data, np.repeat(record, 3))
