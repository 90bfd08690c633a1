"""What streams and handles tell about themselves: lists, counts, lag, events."""

from __future__ import annotations

import time

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, message_of, take, take_gap, take_messages, ticks_of


def test_streams_lists_what_is_on_offer(link: Link) -> None:
    """Name, schema, capacity, flow, epoch and next sequence of each; closed ones are not there."""
    assert link.peer.streams() == []
    typed = link.publish("ticks", TICK, capacity="128KiB")
    untyped = link.publish("raw", flow=rdmaq.reliable(), first_sequence=70)
    closed = link.publish("closed")
    typed.send_batch(ticks_of(1, 12))
    closed.close()
    by_name = {stream.name: stream for stream in link.peer.streams()}
    assert set(by_name) == {"ticks", "raw"}
    ticks, raw = by_name["ticks"], by_name["raw"]
    assert (ticks.schema, ticks.capacity_bytes, ticks.flow.is_reliable) == (TICK, 128 << 10, False)
    assert (ticks.epoch, ticks.next_sequence) == (typed.epoch, 13)
    assert (raw.schema, raw.capacity_bytes, raw.flow.is_reliable) == (
        None,
        link.transport.capacity_bytes,
        True,
    )
    assert (raw.epoch, raw.next_sequence) == (untyped.epoch, 70)


def test_node_with_much_to_offer_can_be_listed_and_connected_to(link: Link) -> None:
    """Schemas of 25 KB each: more than one packet of the hand-over holds."""
    wide = np.dtype([(f"field_{i:04}", "<i4") for i in range(1200)])
    names = [f"wide{i}" for i in range(6)]
    for name in names:
        link.publish(name, wide)
    with link.transport.connect(link.address) as peer:
        streams = peer.streams()
        assert sorted(stream.name for stream in streams) == names
        assert all(stream.schema == wide for stream in streams)
        peer.subscribe(names[0], wide).close()


def test_name_can_be_offered_once_at_a_time(link: Link) -> None:
    """StreamExists while it is open; free again after close; other names do not care."""
    pub = link.publish("one")
    with pytest.raises(rdmaq.StreamExists, match="'one' is published"):
        link.publish("one")
    link.publish("two")
    pub.close()
    assert link.publish("one").epoch > pub.epoch


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 193, "é" * 97, "\x00", 5])
def test_name_that_no_stream_can_have_is_refused(link: Link, name: str) -> None:
    """By publish and by subscribe, with the bounds in the text."""
    with pytest.raises(rdmaq.AddressError, match="192 bytes"):
        link.publish(name)
    with pytest.raises(rdmaq.AddressError, match="192 bytes"):
        link.subscribe(name)


@pytest.mark.parametrize("name", ["x" * 192, "é" * 96, "with space/and:signs", "日本"])
def test_any_printable_name_of_at_most_192_bytes_works(link: Link, name: str) -> None:
    """The name goes through the segment and the hand-over unharmed."""
    pub, sub = link.publish(name), link.subscribe(name)
    pub.send(b"x")
    assert take_messages(sub, 1) == [b"x"]
    assert link.peer.streams()[0].name == pub.name == sub.name == name


def test_publisher_counts_what_it_published(link: Link) -> None:
    """Messages, payload bytes, frames and gaps, each by its own definition."""
    pub = link.publish()
    pub.send(b"12345")
    pub.send_many([b"123", b""])
    pub.send_gap(4, 9)
    pub.heartbeat()
    stats = pub.stats
    assert (stats.messages, stats.frames, stats.gaps) == (3, 4, 1)
    assert stats.bytes == 5 + (2 + 3 + 2) + 16
    assert (stats.stalls, stats.wakes, stats.readers, stats.readers_cut_off) == (0, 0, 0, 0)


def test_subscription_counts_what_it_delivered(link: Link) -> None:
    """The law in its own words: messages + lost = published since it began."""
    pub = link.publish()
    pub.send(b"before")
    sub = link.subscribe()
    pub.send_many([b"abc", b"de"])
    pub.send_gap(4, 6)
    pub.send(b"f")
    take(sub, max_messages=1)
    take(sub)
    take_gap(sub)
    take(sub)
    stats = sub.stats
    assert (stats.messages, stats.bytes, stats.batches) == (3, 6, 3)
    assert stats.frames == 3, "a frame delivered in two parts counts once a part"
    assert (stats.gaps_upstream, stats.lost_upstream) == (1, 3)
    assert (stats.gaps_overrun, stats.lost_overrun) == (0, 0)
    assert stats.messages + stats.lost_upstream == pub.next_sequence - 2


def test_lag_is_the_published_bytes_that_were_not_delivered(link: Link) -> None:
    """In bytes of the ring: frames of 32-byte units, headers included; 0 when all is read."""
    pub, sub = link.publish(), link.subscribe()
    assert sub.lag == 0
    pub.send(b"")
    link.settle()
    assert sub.lag == 32
    pub.send(bytes(33))
    link.settle()
    assert sub.lag == 32 + 96
    take(sub, max_messages=1)
    assert sub.lag == 96
    take(sub)
    assert sub.lag == 0


def test_events_tell_changes_once_and_in_order(link: Link) -> None:
    """Connected at once; ended when the end was delivered; a second look finds nothing."""
    began_ns = time.time_ns()
    pub, sub = link.publish(), link.subscribe()
    connected = sub.events()
    assert [event.kind for event in connected] == ["connected"]
    assert connected[0].epoch == pub.epoch
    assert began_ns <= connected[0].time_ns <= time.time_ns()
    pub.send(message_of(1))
    pub.close()
    take(sub)
    assert sub.events() == []
    for _ in range(3):
        link.settle()
        with pytest.raises(rdmaq.EndOfStream):
            sub.poll(0)
    assert [event.kind for event in sub.events()] == ["ended"]


def test_cut_off_is_an_event_and_stays_the_answer(link: Link) -> None:
    """Every later poll says so again, with the same sequence; the event comes once."""
    pub = link.publish(flow=rdmaq.reliable(timeout=0.05))
    sub = link.subscribe()
    while not pub.stats.readers_cut_off:
        pub.send(message_of(pub.next_sequence))
    for _ in range(2):
        link.settle()
        with pytest.raises(rdmaq.CutOff) as caught:
            sub.poll(0)
        assert caught.value.sequence == 1
    assert [event.kind for event in sub.events()] == ["connected", "cut_off"]
