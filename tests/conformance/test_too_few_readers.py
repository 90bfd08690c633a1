"""A reliable stream with `min_readers` holds its messages back until enough readers are there."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, claim, eventually, message_of, take_messages, ticks_of
from tests.conformance.test_full import NEVER_SECONDS, running

WAYS: dict[str, Callable[[rdmaq.Publisher], object]] = {
    "send": lambda pub: pub.send(b"x"),
    "send_batch": lambda pub: pub.send_batch(ticks_of(1, 10)),
    "send_many": lambda pub: pub.send_many([b"x", b"y"]),
    "claim": lambda pub: claim(pub, b"x"),
    "send_gap": lambda pub: pub.send_gap(1, 5),
    "heartbeat": lambda pub: pub.heartbeat(),
}


@pytest.mark.parametrize("how", WAYS)
def test_send_without_enough_readers_raises_and_publishes_nothing(link: Link, how: str) -> None:
    """One reader of two: the timeout passes, the error counts 0 sent, the stream is untouched."""
    pub = link.publish(
        schema=TICK if how == "send_batch" else None, flow=rdmaq.reliable(2, timeout=0.05)
    )
    sub = link.subscribe()
    with pytest.raises(rdmaq.NotEnoughReaders, match="min_readers=2") as caught:
        WAYS[how](pub)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.sent == 0
    assert pub.next_sequence == 1
    assert pub.stats.frames == 0
    assert sub.poll(0) is None


def test_send_begins_when_the_last_missing_reader_comes(link: Link) -> None:
    """The waiting send goes through, and every reader gets it from the first message on."""
    pub = link.publish(flow=rdmaq.reliable(2, timeout=NEVER_SECONDS))
    first = link.subscribe()
    with running(lambda: pub.send_many([message_of(1), message_of(2)])) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the publisher to wait")
        assert outcome == {}
        link.settle()
        assert first.poll(0) is None
        second = link.subscribe()
    assert outcome == {"result": 1}
    for sub in (first, second):
        assert take_messages(sub, 2) == [message_of(1), message_of(2)]


@pytest.mark.parametrize("how", ["send_batch", "send_many"])
def test_error_tells_exactly_how_many_messages_went_out(link: Link, how: str) -> None:
    """The only reader stands still in the middle of a long send: it is cut off, then none is left.

    What the error calls sent is what the publisher counted, and sending the rest later leaves
    nothing out and nothing twice.
    """
    typed = how == "send_batch"
    pub = link.publish(schema=TICK if typed else None, flow=rdmaq.reliable(1, timeout=0.1))
    link.subscribe()
    total = 4 * link.transport.capacity_bytes // TICK.itemsize
    records, messages = ticks_of(1, total), [message_of(s, 91) for s in range(1, total + 1)]
    with pytest.raises(rdmaq.NotEnoughReaders) as caught:
        pub.send_batch(records) if typed else pub.send_many(messages)
    sent = caught.value.sent
    assert 0 < sent < total
    assert sent == pub.stats.messages == pub.next_sequence - 1
    assert pub.stats.readers_cut_off == 1
    reader = link.subscribe(start=sent + 1)
    rest = min(100, total - sent)
    if typed:
        assert pub.send_batch(records[sent : sent + rest]) == sent + 1
        assert [r.item() for r in take_messages(reader, rest)] == [
            r.item() for r in records[sent : sent + rest]
        ]
    else:
        assert pub.send_many(messages[sent : sent + rest]) == sent + 1
        assert take_messages(reader, rest) == messages[sent : sent + rest]


def test_waiting_in_vain_once_does_not_shorten_the_next_wait(link: Link) -> None:
    """After NotEnoughReaders the next send has the whole timeout again before it gives up."""
    timeout_seconds = 0.3
    pub = link.publish(flow=rdmaq.reliable(1, timeout=timeout_seconds))
    for wait in (1, 2):
        began = time.monotonic()
        with pytest.raises(rdmaq.NotEnoughReaders):
            pub.send(b"x")
        assert time.monotonic() - began >= 0.95 * timeout_seconds
        assert pub.stats.stalls == wait
    sub = link.subscribe()
    assert pub.send(b"y") == 1
    assert take_messages(sub, 1) == [b"y"]
