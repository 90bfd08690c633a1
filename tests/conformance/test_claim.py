"""A claim lends room in the ring itself: published when filled, dropped when not."""

from __future__ import annotations

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, claim, message_of, take, take_messages, ticks_of
from tests.conformance.test_lapped import lap


def test_claimed_bytes_are_published_when_the_block_ends(link: Link) -> None:
    """Nothing before; one message of exactly the claimed length after."""
    pub, sub = link.publish(), link.subscribe()
    with pub.claim(5) as area:
        assert (area.nbytes, area.readonly) == (5, False)
        area[:] = b"hello"
        link.settle()
        assert sub.poll(0) is None
        assert pub.next_sequence == 1
    assert take_messages(sub, 1) == [b"hello"]
    assert (pub.stats.frames, pub.stats.messages) == (1, 1)


def test_claimed_records_are_an_array_of_the_dtype(link: Link) -> None:
    """Filled by field; readers get one frame of records."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    expected = ticks_of(1, 20)
    with pub.claim(20) as records:
        assert records.dtype == TICK
        assert records.shape == (20,)
        for field in TICK.names or ():
            records[field] = expected[field]
    batch = take(sub)
    assert np.array_equal(batch.data, expected)
    assert batch.frame_counts.tolist() == [20]


def test_claim_whose_block_raises_publishes_nothing(link: Link) -> None:
    """The exception comes out as it is; the next message takes the same sequence."""
    pub, sub = link.publish(), link.subscribe()

    def fill_half_and_fail() -> None:
        with pub.claim(100) as area:
            area[:50] = bytes(50)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fill_half_and_fail()
    assert pub.next_sequence == 1
    link.settle()
    assert sub.poll(0) is None
    assert pub.send(b"x") == 1
    assert take_messages(sub, 1) == [b"x"]


def test_sending_while_a_claim_is_open_is_refused_and_the_claim_survives(link: Link) -> None:
    """Every way to publish names the open claim; then the claim is published as filled."""
    pub, sub = link.publish(), link.subscribe()
    with pub.claim(2) as area:
        for attempt in (
            lambda: pub.send(b"x"),
            lambda: pub.send_many([b"x"]),
            lambda: pub.send_gap(1, 1),
            lambda: pub.heartbeat(),
            lambda: claim(pub, b"x"),
        ):
            with pytest.raises(rdmaq.ConcurrentUse, match=r"claim of stream 's' is open"):
                attempt()
        area[:] = b"ok"
    assert take_messages(sub, 1) == [b"ok"]
    link.settle()
    assert sub.poll(0) is None


def test_empty_claim_is_an_empty_message_and_impossible_ones_are_refused(link: Link) -> None:
    """0 bytes are a message of an untyped stream; 0 records are no frame."""
    pub, typed, sub = link.publish(), link.publish("typed", TICK), link.subscribe()
    claim(pub, b"")
    assert take_messages(sub, 1) == [b""]
    for publisher, size in ((pub, -1), (typed, 0), (typed, -1), (typed, 10_000), (pub, 1 << 70)):
        with pytest.raises(rdmaq.MessageTooLarge), publisher.claim(size):
            pytest.fail("it was lent")
    assert typed.stats.frames == 0


def test_claim_straddles_the_end_of_the_ring_in_one_piece(link: Link) -> None:
    """Claims of an odd length many times round the ring: always contiguous, always whole."""
    pub, sub = link.publish(), link.subscribe()
    for sequence in range(1, 200):
        message = message_of(sequence, 7919)
        claim(pub, message)
        assert take_messages(sub, 1) == [message]
    assert pub.stats.bytes > 3 * link.transport.capacity_bytes


def test_reader_admitted_while_a_claim_is_open_loses_nothing_of_a_reliable_stream(
    link: Link,
) -> None:
    """It starts at the oldest frame that the claim's own publishing will not touch."""
    pub = link.publish(flow=rdmaq.reliable())
    lap(pub, link.transport.capacity_bytes)
    with pub.claim(link.transport.message_bytes_max) as area:
        sub = link.subscribe(start="oldest")
        area[:] = bytes(link.transport.message_bytes_max)
    link.settle()
    while (batch := sub.poll(0)) is not None:
        assert batch.gap is None, "a reliable stream lost messages under its reader"
    assert sub.position == pub.next_sequence


def test_closing_under_an_open_claim_drops_it(link: Link) -> None:
    """The block's end raises ClosedError; readers see the end of the stream and no message."""
    pub, sub = link.publish(), link.subscribe()

    def close_inside() -> None:
        with pub.claim(4) as area:
            pub.close()
            area[:] = b"late"

    with pytest.raises(rdmaq.ClosedError):
        close_inside()
    link.settle()
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll(0)
    assert sub.stats.messages == 0
