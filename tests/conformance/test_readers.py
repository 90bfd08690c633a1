"""No reader, many readers, one too many."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, eventually, message_of, take, take_messages, ticks_of


@pytest.mark.parametrize("flow", [rdmaq.lossy(), rdmaq.reliable()], ids=["lossy", "reliable"])
def test_stream_without_readers_goes_on(link: Link, flow: rdmaq.Flow) -> None:
    """Three rings full with nobody there: no stall, no wake; a late reader gets the newest."""
    pub = link.publish(flow=flow)
    while pub.stats.bytes < 3 * link.transport.capacity_bytes:
        pub.send(message_of(pub.next_sequence))
    assert pub.reader_count == 0
    assert (pub.stats.stalls, pub.stats.wakes) == (0, 0)
    sub = link.subscribe()
    pub.send(b"now")
    assert take_messages(sub, 1) == [b"now"]


@pytest.mark.parametrize("flow", [rdmaq.lossy(), rdmaq.reliable()], ids=["lossy", "reliable"])
def test_every_one_of_many_readers_gets_everything(link: Link, flow: rdmaq.Flow) -> None:
    """As many as a stream must bear, each with a pace of its own, over some wraps."""
    pub = link.publish(schema=TICK, flow=flow)
    readers = [link.subscribe(schema=TICK) for _ in range(link.transport.readers_many)]
    assert pub.reader_count == len(readers)
    got: list[list[object]] = [[] for _ in readers]
    total = 0
    while total * TICK.itemsize < 2 * link.transport.capacity_bytes:
        pub.send_batch(ticks_of(total + 1, 250))
        total += 250
        for number, sub in enumerate(readers):
            got[number].extend(take_messages(sub, 250, max_messages=1 + number * 13))
    expected = ticks_of(1, total)
    for sub, records in zip(readers, got, strict=True):
        assert np.array_equal(np.array(records, dtype=TICK), expected)
        link.settle()
        assert sub.poll(0) is None
        assert sub.stats.lost_overrun == 0


def test_one_reader_too_many_is_refused_and_a_freed_slot_is_given_again(link: Link) -> None:
    """The limit's text says how many; closing one makes room for one."""
    pub = link.publish()
    with ExitStack() as stack:
        readers = [
            stack.enter_context(link.peer.subscribe("s")) for _ in range(link.transport.readers_max)
        ]
        with pytest.raises(rdmaq.TooManyReaders, match=f"{link.transport.readers_max} subscribers"):
            link.peer.subscribe("s")
        assert pub.reader_count == len(readers)
        readers[3].close()
        eventually(lambda: pub.reader_count == len(readers) - 1, "the slot to be freed")
        late = link.subscribe()
        pub.send(b"x")
        assert take_messages(late, 1) == take_messages(readers[-1], 1) == [b"x"]


def test_closed_reader_frees_a_reliable_publisher(link: Link) -> None:
    """A reader that stands in the way and closes is not waited for."""
    pub = link.publish(flow=rdmaq.reliable(timeout=3600))
    in_the_way, moving = link.subscribe(), link.subscribe()
    while moving.lag + 5000 < link.transport.room_bytes:
        pub.send(message_of(pub.next_sequence).ljust(600))
        link.settle()
    while moving.poll(0) is not None:
        pass
    in_the_way.close()
    pub.send(bytes(7000))
    assert take(moving).messages == [bytes(7000)]
    assert pub.stats.readers_cut_off == 0


def test_slots_do_not_leak_when_readers_come_and_go(link: Link) -> None:
    """Three times as many subscriptions as slots, one after the other."""
    pub = link.publish()
    for turn in range(3 * link.transport.readers_max):
        with link.peer.subscribe("s") as sub:
            pub.send(str(turn).encode())
            assert take_messages(sub, 1) == [str(turn).encode()]
        if turn % 64 == 0:
            eventually(lambda: pub.reader_count == 0, "the slots to be freed")
    eventually(lambda: pub.reader_count == 0, "the slots to be freed")
