"""The subscriber is another process: killed, stopped, continued. The publisher goes on."""

from __future__ import annotations

import rdmaq
from tests.conformance.child import Child
from tests.conformance.rig import PATIENCE_SECONDS, Link, eventually, message_of, take_messages
from tests.conformance.test_full import fill, running


def subscribe_there(child: Child, link: Link) -> None:
    child.run(f"sub = {link.transport!r}.connect({link.address!r}).subscribe('s')")


def test_killed_subscriber_frees_its_slot_and_a_waiting_publisher(link: Link, child: Child) -> None:
    """It is the reader in the way of a reliable stream; after kill -9 the blocked send returns."""
    pub = link.publish(flow=rdmaq.reliable(timeout=3600))
    subscribe_there(child, link)
    fill(pub, link.transport.room_bytes)
    with running(lambda: pub.send(bytes(4000))) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the publisher to wait")
        assert outcome == {}
        child.kill()
    assert outcome == {"result": pub.next_sequence - 1}
    eventually(lambda: pub.reader_count == 0, "the slot to be freed")
    assert pub.stats.readers_cut_off == 0
    sub = link.subscribe()
    pub.send(b"on")
    assert take_messages(sub, 1) == [b"on"]


def test_stopped_subscriber_of_a_lossy_stream_is_told_its_exact_loss(
    link: Link, child: Child
) -> None:
    """SIGSTOP, three rings full, SIGCONT: received + declared = published; others lose nothing.

    What is published later comes to it as ever.
    """
    pub, other = link.publish(), link.subscribe()
    subscribe_there(child, link)
    child.run("ledger = Ledger()")
    pub.send(message_of(1))
    child.run("ledger.take(take(sub))")
    child.stop()
    received = 0
    while pub.stats.bytes < 3 * link.transport.capacity_bytes:
        pub.send(message_of(pub.next_sequence))
        link.settle()
        while (batch := other.poll(0)) is not None:
            received += len(batch)
    assert pub.stats.stalls <= link.transport.flushes_waited_for_max
    assert received == pub.stats.messages
    child.resume()
    child.run(f"ledger.drain_to(sub, {pub.next_sequence})")
    assert child.run("ledger.next_sequence") == pub.next_sequence
    assert child.run("ledger.lost['overrun']") > 0
    kept = child.run("ledger.received") - 1
    assert kept >= link.transport.kept_messages_min, "what the ring still held must come"
    last = pub.send(message_of(pub.next_sequence))
    child.run(f"ledger.drain_to(sub, {last + 1})")
    assert child.run("(ledger.next_sequence, ledger.received)") == [last + 1, kept + 2]


def test_stopped_subscriber_of_a_reliable_stream_loses_nothing_when_continued_in_time(
    link: Link, child: Child
) -> None:
    """The publisher waits for it, and goes on when it does."""
    pub = link.publish(flow=rdmaq.reliable(timeout=3600))
    subscribe_there(child, link)
    child.stop()
    fill(pub, link.transport.room_bytes)
    with running(lambda: pub.send(bytes(4000))) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the publisher to wait")
        child.resume()
        child.run(f"take_messages(sub, {pub.stats.messages}) and None")
    assert outcome == {"result": pub.next_sequence - 1}
    assert child.run("len(take(sub).messages[0])") == 4000
    assert child.run("sub.stats.lost_overrun") == 0
    assert pub.stats.readers_cut_off == 0


def test_sleeping_subscriber_is_woken_by_a_send(link: Link, child: Child) -> None:
    """A thread over there sleeps, by its own count; the publisher wakes it, by its own, too."""
    pub = link.publish()
    subscribe_there(child, link)
    child.run("import threading; got = []")
    child.run("thread = threading.Thread(target=lambda: got.extend(take(sub).messages))")
    child.run("thread.start()")
    eventually(lambda: child.run("sub.stats.wakes") >= 1, "the subscriber to sleep")
    assert pub.stats.wakes == 0
    eventually(lambda: pub.send(b"up") and pub.stats.wakes, "the publisher to wake it")
    child.run(f"thread.join({PATIENCE_SECONDS})")
    assert child.run("[message.decode() for message in got]")[0] == "up"
