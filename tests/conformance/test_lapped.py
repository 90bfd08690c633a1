"""A lapped reader of a lossy stream: what it lost is declared exactly, and with its cause."""

from __future__ import annotations

import pytest

import rdmaq
from tests.conformance.rig import Ledger, Link, message_of, take, take_gap, take_messages

LEDGER_ENTRIES = 4096  # losses upstream that a segment remembers (format version 1)


def lap(pub: rdmaq.Publisher, capacity_bytes: int, times: int = 2) -> None:
    """Publishes `times` rings full of messages."""
    goal_bytes = pub.stats.bytes + times * capacity_bytes
    while pub.stats.bytes < goal_bytes:
        pub.send(message_of(pub.next_sequence))


def test_lossy_publisher_never_waits_and_the_gap_is_exact(link: Link) -> None:
    """Lap the reader: one overrun gap from where it stood, then messages without a hole."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    pub.send_many([message_of(s) for s in (1, 2, 3)])
    ledger.take(take(sub, max_messages=2))
    lap(pub, link.transport.capacity_bytes)
    assert pub.stats.stalls <= link.transport.flushes_waited_for_max
    link.settle()
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.accounted == pub.stats.messages == pub.next_sequence - 1
    assert [(gap.cause, gap.first, gap.epoch) for gap in ledger.gaps] == [("overrun", 3, pub.epoch)]
    kept = ledger.received - 2
    assert kept >= link.transport.kept_messages_min, "what the ring still held must come"
    assert sub.stats.lost_overrun == ledger.lost["overrun"]
    assert sub.stats.gaps_overrun == 1


def test_reader_that_stood_at_the_very_first_message_is_told_of_it(link: Link) -> None:
    """It subscribed before anything was sent, and never polled: the gap begins at sequence 1."""
    pub, sub, ledger = link.publish(first_sequence=500), link.subscribe(), Ledger(500)
    lap(pub, link.transport.capacity_bytes)
    link.settle()
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.gaps[0].first == 500
    assert ledger.next_sequence == pub.next_sequence


def test_reader_resumes_at_the_oldest_intact_frame(link: Link) -> None:
    """At least half of the ring is delivered after a lap: it is not thrown to the tail."""
    pub, sub, ledger = link.publish(), link.subscribe(on_gap="recover"), Ledger()
    lap(pub, link.transport.capacity_bytes, times=3)
    ledger.drain_to(sub, pub.next_sequence)
    assert sub.stats.bytes >= link.transport.capacity_bytes / 2
    assert ledger.next_sequence == pub.next_sequence


def test_hole_is_split_into_what_upstream_lost_and_what_was_overrun(link: Link) -> None:
    """Losses upstream inside the overrun stretch keep their cause, and the rest is overrun."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    pub.send(message_of(1))
    pub.send_gap(2, 4)
    pub.send(message_of(5))
    pub.send_gap(6, 6)
    pub.send_gap(7, 9)
    lap(pub, link.transport.capacity_bytes)
    last = pub.next_sequence
    pub.send_gap(last, last + 1)
    pub.send(message_of(last + 2))
    link.settle()
    ledger.drain(sub)
    told = [(gap.cause, gap.first, gap.last) for gap in ledger.gaps]
    assert told[:5] == [
        ("overrun", 1, 1),
        ("upstream", 2, 4),
        ("overrun", 5, 5),
        ("upstream", 6, 6),
        ("upstream", 7, 9),
    ]
    assert told[5][:2] == ("overrun", 10)
    assert told[6:] == [("upstream", last, last + 1)], "what the ring still holds comes as it is"
    assert ledger.next_sequence == pub.next_sequence
    assert sub.stats.lost_upstream == ledger.lost["upstream"] == 9
    assert sub.stats.gaps_upstream == 4


def test_loss_upstream_that_no_ledger_entry_remembers_counts_as_overrun(link: Link) -> None:
    """More losses than the ledger has entries: the oldest change their cause, none is dropped."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    for _ in range(LEDGER_ENTRIES + 1000):
        pub.send_gap(pub.next_sequence, pub.next_sequence + 1)
        pub.send(message_of(pub.next_sequence))
    link.settle()
    ledger.drain(sub)
    assert ledger.accounted == pub.next_sequence - 1 == 3 * (LEDGER_ENTRIES + 1000)
    assert ledger.gaps[0].cause == "overrun"
    assert ledger.gaps[0].count > 1000 * 3 - 3, "what was forgotten is one stretch of overrun"
    upstream = [gap for gap in ledger.gaps if gap.cause == "upstream"]
    assert all(gap.count == 2 and gap.first % 3 == 1 for gap in upstream)
    assert LEDGER_ENTRIES - 2 <= len(upstream) <= LEDGER_ENTRIES


def test_gap_is_raised_when_asked_for_and_the_next_poll_goes_on(link: Link) -> None:
    """on_gap="raise": the error carries the gap; nothing behind it is lost by raising."""
    pub, sub = link.publish(), link.subscribe(on_gap="raise")
    pub.send(b"a")
    pub.send_gap(2, 9)
    pub.send(b"b")
    assert take_messages(sub, 1) == [b"a"]
    link.settle()
    with pytest.raises(rdmaq.GapError, match="lost sequences 2 to 9: upstream") as caught:
        sub.poll(0)
    assert caught.value.gap == rdmaq.Gap(2, 9, "upstream", pub.epoch)
    assert take_messages(sub, 1) == [b"b"]
    assert sub.poll(0) is None


def test_gap_is_skipped_when_asked_for_and_only_counted(link: Link) -> None:
    """on_gap="skip": the poll that would have told it returns what follows, sequences tell."""
    pub, sub = link.publish(), link.subscribe(on_gap="skip")
    pub.send_gap(1, 9)
    pub.send(b"b")
    batch = take(sub)
    assert (batch.sequence, batch.messages) == (10, [b"b"])
    pub.send_gap(11, 12)
    link.settle()
    assert sub.poll(0) is None
    assert (sub.stats.gaps_upstream, sub.stats.lost_upstream) == (2, 11)


def test_batch_never_crosses_a_gap(link: Link) -> None:
    """Messages, gap, messages in the ring: three polls, however large max_messages is."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_many([b"a", b"b"])
    pub.send(b"c")
    pub.send_gap(4, 5)
    pub.send(b"d")
    link.settle()
    assert take(sub, max_messages=10_000).messages == [b"a", b"b", b"c"]
    assert take_gap(sub) == rdmaq.Gap(4, 5, "upstream", pub.epoch)
    batch = take(sub, max_messages=10_000)
    assert (batch.sequence, batch.messages) == (6, [b"d"])


def test_lap_in_the_middle_of_a_frame_declares_exactly_the_undelivered_rest(link: Link) -> None:
    """A frame taken in parts, then overwritten: the gap begins inside of it."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    pub.send_many([message_of(s) for s in range(1, 21)])
    ledger.take(take(sub, max_messages=7))
    lap(pub, link.transport.capacity_bytes)
    link.settle()
    ledger.drain_to(sub, pub.next_sequence, max_messages=5)
    assert ledger.gaps[0].first == 8
    assert ledger.accounted == pub.next_sequence - 1
