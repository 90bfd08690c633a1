"""A view borrows a batch in place: nothing copied, and nothing believed that was written over."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import (
    TICK,
    Ledger,
    Link,
    message_of,
    take,
    take_gap,
    take_messages,
    ticks_of,
)
from tests.conformance.test_lapped import lap


def address_in_view(sub: rdmaq.Subscription, kind: type[Exception]) -> int:
    """Where the next batch lies; the block raises, so that it is delivered again."""
    address = 0
    with suppress(kind), sub.view(0) as batch:
        assert batch is not None
        address = batch.data.__array_interface__["data"][0]
        raise kind
    return address


def test_view_is_a_window_into_the_ring(link: Link) -> None:
    """Two views of one frame show the same memory; a polled batch shows other memory."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    pub.send_batch(ticks_of(1, 50))
    link.settle()
    addresses = [address_in_view(sub, KeyError) for _ in range(2)]
    assert addresses[0] == addresses[1]
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        assert np.array_equal(batch.data, ticks_of(1, 50))
        assert (batch.sequence, len(batch), batch.gap) == (1, 50, None)
    pub.send_batch(ticks_of(51, 50))
    polled = take(sub).data.__array_interface__["data"][0]
    assert abs(polled - addresses[0]) > 2 * link.transport.capacity_bytes


def test_view_gives_messages_of_every_form(link: Link) -> None:
    """Single messages and blocks, empty ones too: memoryviews with the right bytes."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"one")
    pub.send(b"")
    pub.send_many([b"two", b"", b"three"])
    got = []
    for expected in ([b"one"], [b""], [b"two", b"", b"three"]):
        link.settle()
        with sub.view(0) as batch:
            assert batch is not None
            assert [bytes(message) for message in batch] == expected
            assert all(memoryview(message).readonly for message in batch.messages)
            assert len(batch) == len(expected)
            got += expected
    with sub.view(0) as batch:
        assert batch is None
    assert sub.position == pub.next_sequence
    assert sub.stats.messages == len(got)


def test_view_takes_part_of_a_frame_and_the_next_goes_on_there(link: Link) -> None:
    """max_messages below the frame's count, for records and blocks, mixed with polls."""
    untyped, typed = link.publish(), link.publish("typed", TICK)
    sub, typed_sub = link.subscribe(), link.subscribe("typed")
    messages = [message_of(s) for s in range(1, 31)]
    untyped.send_many(messages)
    typed.send_batch(ticks_of(1, 30))
    seen = 0
    for turn in range(6):
        if turn % 2:
            assert take(sub, max_messages=5).messages == messages[seen : seen + 5]
            assert np.array_equal(take(typed_sub, max_messages=5).data, ticks_of(seen + 1, 5))
        else:
            link.settle()
            with sub.view(0, max_messages=5) as batch, typed_sub.view(0, max_messages=5) as records:
                assert batch is not None
                assert records is not None
                assert [bytes(m) for m in batch] == messages[seen : seen + 5]
                assert np.array_equal(records.data, ticks_of(seen + 1, 5))
        seen += 5
    assert sub.poll(0) is typed_sub.poll(0) is None


def test_block_that_raises_has_its_batch_delivered_again(link: Link) -> None:
    """Not counted, not consumed: the next poll has the same messages."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_many([b"a", b"b"])
    link.settle()
    with pytest.raises(ValueError, match="mine"), sub.view(0):
        raise ValueError("mine")
    assert sub.stats.messages == 0
    assert sub.position == 1
    assert take_messages(sub, 2) == [b"a", b"b"]


def test_overwritten_view_raises_and_is_declared_by_the_next_poll(link: Link) -> None:
    """Lap the ring inside the block: ViewOverrun, then a gap from the view's first message on."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    pub.send_many([message_of(s) for s in (1, 2, 3)])
    ledger.take(take(sub, max_messages=1))
    link.settle()

    def lap_inside() -> None:
        lap(pub, link.transport.capacity_bytes)
        link.settle()

    with pytest.raises(rdmaq.ViewOverrun, match="wrote over"), sub.view(0):
        lap_inside()
    assert sub.stats.messages == 1, "what was overwritten does not count as received"
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.gaps[0].first == 2
    assert ledger.accounted == pub.next_sequence - 1


def test_block_that_raises_over_an_overwritten_view_lets_its_own_exception_out(link: Link) -> None:
    """The overrun is declared all the same."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(message_of(1))

    def lap_and_fail() -> None:
        lap(pub, link.transport.capacity_bytes)
        link.settle()
        raise KeyError("mine")

    link.settle()
    with pytest.raises(KeyError, match="mine"), sub.view(0):
        lap_and_fail()
    assert take_gap(sub).first == 1


def test_gap_comes_through_a_view_as_through_a_poll(link: Link) -> None:
    """A gap holds nothing to give back; messages behind it come with the next view."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_gap(1, 4)
    pub.send(b"x")
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        assert batch.gap == rdmaq.Gap(1, 4, "upstream", pub.epoch)
        assert list(batch) == []
    with sub.view(0) as batch:
        assert batch is not None
        assert [bytes(m) for m in batch] == [b"x"]


def test_reading_while_a_view_is_open_is_refused(link: Link) -> None:
    """Poll and a second view name the open one; the first view is intact."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"a")
    pub.send(b"b")
    link.settle()
    with sub.view(0) as batch:
        with pytest.raises(rdmaq.ConcurrentUse, match=r"view of 's' is open"):
            sub.poll(0)
        with pytest.raises(rdmaq.ConcurrentUse, match=r"view of 's' is open"), sub.view(0):
            pytest.fail("borrowed twice")
        assert batch is not None
        assert [bytes(m) for m in batch] == [b"a"]
    assert take_messages(sub, 1) == [b"b"]


def test_reliable_publisher_waits_for_an_open_view(link: Link) -> None:
    """The cursor moves when the view is given back, not when it is taken."""
    pub = link.publish(flow=rdmaq.reliable(timeout=0.2))
    sub = link.subscribe()
    pub.send(message_of(1))
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        pub.send_many([message_of(s) for s in range(2, 100)])
        assert [bytes(m) for m in batch] == [message_of(1)]
    assert sub.stats.messages == 1
    assert take(sub).sequence == 2


def test_view_waits_for_messages_and_for_the_end(link: Link) -> None:
    """Timeout as for poll; the end of the stream raises when everything was seen."""
    pub, sub = link.publish(), link.subscribe()
    with sub.view(0.01) as batch:
        assert batch is None
    pub.send(b"x")
    pub.close()
    with sub.view(None) as batch:
        assert batch is not None
    with pytest.raises(rdmaq.EndOfStream), sub.view(None):
        pytest.fail("something came after the end")


def test_view_that_is_entered_again_stays_lent(link: Link) -> None:
    """The second entry is refused, and the first one's check at the end is not lost by it."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"first")
    link.settle()
    view = sub.view(0)
    with view as batch:
        assert batch is not None
        with pytest.raises(rdmaq.ConcurrentUse, match="view"):
            view.__enter__()
        with pytest.raises(rdmaq.ConcurrentUse, match="view"):
            sub.poll(0)
        assert [bytes(m) for m in batch.messages] == [b"first"]
    assert sub.poll(0) is None


def test_refused_view_does_not_end_another_one_that_is_just_ending(link: Link) -> None:
    """Another thread's block ends: it has said so to Python, and not yet to the ring."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"first")
    link.settle()
    with sub.view(0) as batch:
        assert batch is not None
        sub._cursor.is_lent = False  # as __exit__ does before it gives the batch back
        with pytest.raises(rdmaq.ConcurrentUse, match="view"):
            sub.view(0).__enter__()
    assert sub.poll(0) is None
    assert sub.stats.messages == 1
