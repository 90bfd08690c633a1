"""Sequences are the publisher's promise: who may choose them, and what must follow what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, claim, take, take_gap, take_messages, ticks_of


def test_every_send_returns_its_first_sequence(link: Link) -> None:
    """And next_sequence is one more than the last; readers see the same numbers."""
    pub, sub = link.publish(), link.subscribe()
    assert pub.next_sequence == 1
    assert pub.send(b"a") == 1
    assert pub.send_many([b"b", b"c"]) == 2
    assert pub.send_gap(4, 6) == 4
    claim(pub, b"d")
    assert pub.send_many(rdmaq.MessageBlocks(b"\x00\x01e\x00\x00", 2)) == 8
    assert pub.heartbeat() == pub.next_sequence == 10
    link.settle()
    assert take(sub).sequence == 1
    assert take_gap(sub).first == 4
    assert take(sub).sequence == 7
    assert sub.position == 10


@pytest.mark.parametrize("how", ["publish", "send_many", "blocks", "send_gap"])
def test_first_thing_sent_may_choose_the_sequence(link: Link, how: str) -> None:
    """Four ways to begin at 7,000; a subscriber from before learns it with the first frame."""
    pub = link.publish(first_sequence=7000 if how == "publish" else 1)
    sub = link.subscribe()
    assert sub.position == 0
    if how == "send_gap":
        pub.send_gap(7000, 7004)
        assert take_gap(sub) == rdmaq.Gap(7000, 7004, "upstream", pub.epoch)
    elif how == "send_many":
        assert pub.send_many([b"x"] * 5, first_sequence=7000) == 7000
    elif how == "blocks":
        pub.send_many(rdmaq.MessageBlocks(b"\x00\x01x" * 5, 5), first_sequence=7000)
    else:
        assert pub.send_many([b"x"] * 5) == 7000
    if how != "send_gap":
        batch = take(sub)
        assert (batch.sequence, len(batch)) == (7000, 5)
    assert pub.next_sequence == sub.position == 7005


def test_later_sequence_must_follow_and_a_declared_gap_makes_it(link: Link) -> None:
    """Ahead and behind are refused and publish nothing; send_gap, then it is accepted."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_many([b"a"], first_sequence=10)
    for wrong in (1, 10, 12, 1 << 40):
        with pytest.raises(rdmaq.SequenceError, match="the next one of stream 's' is 11"):
            pub.send_many([b"b"], first_sequence=wrong)
        with pytest.raises(rdmaq.SequenceError, match="is 11"):
            pub.send_gap(wrong, (1 << 40) + 1)
    assert pub.next_sequence == 11
    pub.send_gap(11, 19)
    assert pub.send_many([b"b"], first_sequence=20) == 20
    assert pub.send_many([], first_sequence=21) == 21
    assert take(sub).messages == [b"a"]
    assert take_gap(sub).count == 9
    assert take(sub).messages == [b"b"]
    link.settle()
    assert sub.poll(0) is None


IMPOSSIBLE: dict[str, Callable[[rdmaq.Publisher], object]] = {
    "zero": lambda pub: pub.send_many([b"x"], first_sequence=0),
    "negative": lambda pub: pub.send_many([b"x"], first_sequence=-5),
    "more than 64 bits": lambda pub: pub.send_many([b"x"], first_sequence=1 << 64),
    "too high": lambda pub: pub.send_many([b"x"], first_sequence=1 << 62),
    "gap backwards": lambda pub: pub.send_gap(5, 4),
    "gap from zero": lambda pub: pub.send_gap(0, 4),
    "gap to infinity": lambda pub: pub.send_gap(1, 1 << 64),
}


@pytest.mark.parametrize("how", IMPOSSIBLE)
def test_impossible_sequence_is_refused(link: Link, how: str) -> None:
    """Also on a fresh stream, where any possible one would do; the stream stays fresh."""
    pub = link.publish()
    with pytest.raises(rdmaq.SequenceError):
        IMPOSSIBLE[how](pub)
    assert pub.stats.frames == 0
    assert pub.send_many([b"x"], first_sequence=33) == 33


@pytest.mark.parametrize("first_sequence", [0, -1, 1 << 62, 1 << 70])
def test_impossible_first_sequence_is_refused_at_publish(link: Link, first_sequence: int) -> None:
    """The stream is not offered, and its name is free."""
    with pytest.raises(rdmaq.SequenceError, match="first_sequence="):
        link.publish(first_sequence=first_sequence)
    assert link.publish().next_sequence == 1


def test_refused_send_on_a_fresh_stream_leaves_its_sequence_open(link: Link) -> None:
    """A message too large came with a first sequence: neither of the two is taken."""
    pub = link.publish()
    with pytest.raises(rdmaq.MessageTooLarge):
        pub.send_many([bytes(link.transport.capacity_bytes)], first_sequence=50)
    with pytest.raises(rdmaq.SchemaError):
        pub.send_many(rdmaq.MessageBlocks(b"\x00\x09x", 1), first_sequence=60)
    assert pub.next_sequence == 1
    assert pub.send(b"a") == 1


def test_typed_streams_declare_losses_too(link: Link) -> None:
    """send_gap between batches of records; arrays on both sides have the right sequences."""
    pub, sub = link.publish(schema=TICK), link.subscribe()
    pub.send_batch(ticks_of(1, 10))
    pub.send_gap(11, 11)
    assert pub.send_batch(ticks_of(12, 5)) == 12
    assert len(take(sub)) == 10
    assert take_gap(sub) == rdmaq.Gap(11, 11, "upstream", pub.epoch)
    batch = take(sub)
    assert batch.sequence == 12
    assert (batch.data == ticks_of(12, 5)).all()


def test_heartbeat_is_no_message(link: Link) -> None:
    """It consumes no sequence and wakes no poll with a batch; it may only tell where we are."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"a")
    for _ in range(5):
        assert pub.heartbeat() == 2
    pub.send(b"b")
    assert take_messages(sub, 2) == [b"a", b"b"]
    link.settle()
    assert sub.poll(0) is None
    assert pub.stats.messages == 2
    assert pub.stats.frames == 7
    assert sub.stats.frames == 2
