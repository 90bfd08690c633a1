"""Late joiners: where a subscription begins, and what is declared when that is gone."""

from __future__ import annotations

import datetime
import time

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import (
    Ledger,
    Link,
    eventually,
    message_of,
    take,
    take_gap,
    take_messages,
)
from tests.conformance.test_lapped import lap

CLOCK_SECONDS = 0.02  # clock tables are wrong by less


def sequences(first: int, last: int) -> list[bytes]:
    return [message_of(s) for s in range(first, last + 1)]


def test_live_joiner_gets_what_is_published_from_then_on(link: Link) -> None:
    """Nothing of before, nothing declared; position tells where it stands."""
    pub = link.publish()
    pub.send_many(sequences(1, 5))
    sub = link.subscribe()
    assert sub.position == 6
    link.settle()
    assert sub.poll(0) is None
    pub.send(message_of(6))
    assert take(sub).sequence == 6
    assert sub.stats.lost_overrun == 0


def test_oldest_joiner_gets_what_the_ring_still_holds(link: Link) -> None:
    """Before a wrap that is everything; after it, at least half of the ring, and no gap."""
    pub = link.publish(first_sequence=40)
    pub.send_many(sequences(40, 59))
    assert take_messages(link.subscribe(start="oldest"), 20) == sequences(40, 59)
    lap(pub, link.transport.capacity_bytes)
    sub = link.subscribe(start="oldest")
    ledger = Ledger(sub.position)
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.next_sequence == pub.next_sequence
    assert ledger.gaps == []
    assert sub.stats.bytes >= link.transport.capacity_bytes / 2


@pytest.mark.parametrize("whole_number", [int, np.int64])
def test_joiner_at_a_sequence_inside_a_frame_gets_exactly_from_there(
    link: Link, whole_number: type
) -> None:
    """Frames of ten messages: start within one, at its beginning, at its end."""
    pub = link.publish()
    for first in range(1, 100, 10):
        pub.send_many(sequences(first, first + 9))
    for start in (1, 2, 10, 11, 55, 99, 100):
        sub = link.subscribe(start=whole_number(start))
        assert sub.position == start
        assert take_messages(sub, 101 - start) == sequences(start, 100)
        link.settle()
        assert sub.poll(0) is None


def test_joiner_at_a_sequence_that_is_gone_is_told_exactly_what(link: Link) -> None:
    """The gap begins at the sequence asked for, not at the reader's or the stream's beginning."""
    pub = link.publish()
    lap(pub, link.transport.capacity_bytes)
    sub, ledger = link.subscribe(start=7), Ledger(7)
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.gaps[0].cause == "overrun"
    assert ledger.gaps[0].first == 7
    assert len(ledger.gaps) == 1
    assert ledger.next_sequence == pub.next_sequence


def test_joiner_before_the_first_sequence_misses_nothing_that_existed(link: Link) -> None:
    """A stream that began at 1000 never had 1: nothing is lost, and nothing declared."""
    pub = link.publish(first_sequence=1000)
    pub.send_many(sequences(1000, 1009))
    sub = link.subscribe(start=1)
    assert take_messages(sub, 10) == sequences(1000, 1009)
    assert sub.stats.lost_overrun == 0


@pytest.mark.parametrize("whole_number", [int, np.int64])
@pytest.mark.parametrize("is_fresh", [True, False], ids=["fresh", "begun"])
def test_joiner_at_a_future_sequence_gets_nothing_before_it(
    link: Link, is_fresh: bool, whole_number: type
) -> None:
    """Messages and losses below it pass in silence; the frame that holds it is cut."""
    pub = link.publish()
    if not is_fresh:
        pub.send(message_of(1))
    sub = link.subscribe(start=whole_number(25))
    if is_fresh:
        pub.send(message_of(1))
    pub.send_many(sequences(2, 10))
    pub.send_gap(11, 15)
    link.settle()
    assert sub.poll(0) is None
    pub.send_many(sequences(16, 30))
    batch = take(sub)
    assert (batch.sequence, batch.messages) == (25, sequences(25, 30))
    assert sub.stats.lost_upstream == 0


def test_joiner_inside_a_loss_upstream_gets_the_rest_of_it(link: Link) -> None:
    """Sequences 3 to 8 were lost upstream; who starts at 5 is told of 5 to 8."""
    pub = link.publish()
    pub.send_many(sequences(1, 2))
    pub.send_gap(3, 8)
    pub.send_many(sequences(9, 10))
    sub = link.subscribe(start=5)
    assert take_gap(sub) == rdmaq.Gap(5, 8, "upstream", pub.epoch)
    assert take_messages(sub, 2) == sequences(9, 10)


@pytest.mark.parametrize("form", ["datetime", "datetime64"])
def test_joiner_at_a_time_gets_what_was_published_then_or_later(link: Link, form: str) -> None:
    """Publish, note the time by the stream's own clock, publish: the line lies between them."""
    pub, early = link.publish(), link.subscribe()
    pub.send_many(sequences(1, 5))
    first_ns = take(early).time_ns
    time.sleep(CLOCK_SECONDS)
    pub.send_many(sequences(6, 9))
    second_ns = take(early).time_ns
    assert second_ns > first_ns
    middle_us = (first_ns + second_ns) // 2000
    start: datetime.datetime | np.datetime64 = np.datetime64(middle_us, "us")
    if form == "datetime":
        start = datetime.datetime.fromtimestamp(middle_us / 1e6, datetime.UTC)
    sub = link.subscribe(start=start)
    batch = take(sub)
    assert (batch.sequence, batch.messages) == (6, sequences(6, 9))


def time_ns_of(sub: rdmaq.Subscription, sequence: int) -> int:
    """When that message was published, by a subscriber that reads all of them one by one."""
    while (batch := take(sub, max_messages=1)).sequence < sequence:
        assert batch.gap is None
    return batch.time_ns


def test_joiner_at_a_time_before_all_misses_nothing_that_existed(link: Link) -> None:
    """Nothing was written over: the first message comes first, and nothing is declared."""
    pub = link.publish(first_sequence=7)
    pub.send_many(sequences(7, 9))
    sub = link.subscribe(start=np.datetime64("2001-01-01"))
    assert take_messages(sub, 3) == sequences(7, 9)
    assert sub.stats.lost_overrun == 0


def test_joiner_at_a_time_before_all_that_the_ring_holds_is_told_what_is_gone(link: Link) -> None:
    """Everything since the stream's first message was asked for, and most is written over."""
    pub = link.publish(first_sequence=7)
    lap(pub, link.transport.capacity_bytes)
    sub, ledger = link.subscribe(start=np.datetime64("2001-01-01")), Ledger(7)
    assert sub.position == 7
    ledger.drain_to(sub, pub.next_sequence)
    assert [(gap.cause, gap.first) for gap in ledger.gaps] == [("overrun", 7)]
    assert ledger.next_sequence == pub.next_sequence


def test_joiner_at_a_time_whose_messages_are_gone_is_told_at_least_of_those(link: Link) -> None:
    """The gap begins there or before, and near it for as long as the index goes back so far."""
    pub, early = link.publish(), link.subscribe()
    lap(pub, link.transport.capacity_bytes)
    early.close()
    early = link.subscribe()
    wanted = pub.next_sequence
    pub.send(message_of(wanted))
    start_ns = time_ns_of(early, wanted)
    goal_bytes = pub.stats.ring_bytes + link.transport.room_bytes + 2048
    while pub.stats.ring_bytes < goal_bytes:
        pub.send(message_of(pub.next_sequence))
    near = link.subscribe(start=np.datetime64(start_ns, "ns"))
    assert 1 < near.position <= wanted
    lap(pub, link.transport.capacity_bytes)
    far = link.subscribe(start=np.datetime64(start_ns, "ns"))
    assert far.position == 1
    for sub, first in ((near, near.position), (far, 1)):
        ledger = Ledger(first)
        ledger.drain_to(sub, pub.next_sequence)
        assert ledger.gaps[0].first == first
        assert ledger.gaps[0].last >= wanted
        assert ledger.next_sequence == pub.next_sequence


def subscribe_before(link: Link, seconds: float) -> tuple[rdmaq.Subscription, int]:
    """A subscriber from a time on that is still to come when it has subscribed, and that time.

    In so many seconds, or as many more as a slow machine takes to subscribe.
    """
    while True:
        start_ns = time.time_ns() + int(seconds * 1e9)
        sub = link.subscribe(start=np.datetime64(start_ns, "ns"))
        if time.time_ns() < start_ns - int(seconds * 1e9) // 2:
            return sub, start_ns
        sub.close()
        seconds *= 2


@pytest.mark.parametrize("is_fresh", [True, False], ids=["fresh", "begun"])
def test_joiner_at_a_time_to_come_gets_what_is_published_then_or_later(
    link: Link, is_fresh: bool
) -> None:
    """Messages and losses go by until then; a live subscriber tells when each was published."""
    pub = link.publish()
    if not is_fresh:
        pub.send_many(sequences(1, 3))
    live = link.subscribe()
    sub, start_ns = subscribe_before(link, 0.2)
    start = np.datetime64(start_ns, "ns")
    assert sub.position == (0 if is_fresh else 4)
    times: dict[int, np.datetime64] = {}

    def look() -> None:
        for seen in live.batches(timeout=0, max_messages=1):
            if seen.gap is None:
                times[seen.sequence] = seen.time

    batch = None
    while batch is None:
        pub.send_gap(pub.next_sequence, pub.next_sequence + 1)
        pub.send(message_of(pub.next_sequence))
        link.settle()  # else a link could fall behind, and nobody told when its messages were sent
        look()
        batch = sub.poll(0.001)
    look()
    first = batch.gap.first if batch.gap else batch.sequence
    later = [sequence for sequence, at in times.items() if at >= start]
    assert min(later) - 2 <= first <= min(later), "the loss before the message may be later, too"
    assert len(later) < len(times)
    ledger = Ledger(first)
    ledger.take(batch)
    ledger.drain_to(sub, pub.next_sequence)
    assert ledger.next_sequence == pub.next_sequence


def test_joiner_at_a_time_to_come_that_never_comes_gets_the_end_only(link: Link) -> None:
    """However much is published before, also more than the ring holds: nothing, and no gap.

    All of it is awaited: of what a link never brought nobody could tell that it was early.
    """
    pub = link.publish()
    sub = link.subscribe(start=datetime.datetime(2261, 1, 1, tzinfo=datetime.UTC))
    for turn in range(1, 4):
        while pub.stats.bytes < turn * 2 * link.transport.capacity_bytes:
            pub.send_many(sequences(pub.next_sequence, pub.next_sequence + 9))
            link.settle()
        assert sub.poll(0) is None
        assert sub.lag == 0
    assert sub.stats.lost_overrun == sub.stats.messages == 0
    pub.close()
    link.settle()
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll(0)


def await_link(link: Link, sub: rdmaq.Subscription) -> None:
    """Over verbs: who READs yet waits for his reader, who would miss nothing."""
    if link.transport.host:
        eventually(lambda: sub.stats.links, "a link that carries")


def test_joiner_at_a_time_to_come_that_is_lapped_then_is_told_what_it_missed(link: Link) -> None:
    """It looked once before that time, and not again until all of that was written over."""
    pub, seconds = link.publish(), 0.1
    while True:
        sub, start_ns = subscribe_before(link, seconds)
        await_link(link, sub)
        first = pub.next_sequence
        pub.send_many(sequences(first, first + 2))
        link.settle()
        batch = sub.poll(0)
        if time.time_ns() < start_ns - CLOCK_SECONDS * 1e9:
            break
        sub.close()  # that took too long to be sure that they were sent before that time
        seconds *= 2
    assert batch is None
    assert sub.position == first + 3
    while time.time_ns() < start_ns + CLOCK_SECONDS * 1e9:
        pub.send(message_of(pub.next_sequence))
    lap(pub, link.transport.capacity_bytes)
    link.settle()
    ledger = Ledger(first + 3)
    ledger.drain_to(sub, pub.next_sequence)
    assert [(gap.cause, gap.first) for gap in ledger.gaps] == [("overrun", first + 3)]
    assert ledger.next_sequence == pub.next_sequence


def test_every_sequence_that_the_ring_holds_is_found_among_frames_of_all_lengths(
    link: Link,
) -> None:
    """Frames shorter than the index's stride, and longer than several of them, in a lapped ring."""
    pub = link.publish()
    rng = np.random.default_rng(3)
    while pub.stats.ring_bytes < 3 * link.transport.capacity_bytes:
        size = int(rng.choice([5, 60, 900, 2100, 7000]))
        pub.send(message_of(pub.next_sequence, 2).ljust(size, b"."))
    oldest = link.subscribe(start="oldest").position
    assert oldest > 1
    for start in range(oldest - 3, pub.next_sequence + 1):
        with link.subscribe(start=start) as sub:
            link.settle()
            batch = sub.poll(0, max_messages=1)
            if start == pub.next_sequence:
                assert batch is None
            elif start < oldest:
                assert batch is not None
                assert batch.gap == rdmaq.Gap(start, oldest - 1, "overrun", pub.epoch)
            else:
                assert batch is not None
                assert (batch.gap, batch.sequence) == (None, start)


@pytest.mark.parametrize(
    "start",
    [0, -1, 1 << 62, True, "new", None, 1.5, datetime.datetime(2024, 1, 1), np.datetime64("NaT")],
    ids=repr,
)
def test_start_that_means_nothing_is_refused(link: Link, start: object) -> None:
    """A ValueError that says what a start looks like; no slot is taken."""
    pub = link.publish()
    with pytest.raises(ValueError, match="start="):
        link.subscribe(start=start)
    assert pub.reader_count == 0
