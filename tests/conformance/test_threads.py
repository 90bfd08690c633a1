"""One thread at a time; close() from any thread wakes whoever waits inside."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import rdmaq
from tests.conformance.rig import TICK, Link, eventually, message_of, take_messages, ticks_of
from tests.conformance.test_full import NEVER_SECONDS, fill, running


@pytest.mark.parametrize("wait", ["auto", "spin", "yield", "sleep"])
def test_second_thread_in_a_subscription_is_refused_and_the_first_is_not_disturbed(
    link: Link, wait: str
) -> None:
    """One thread polls for ever; another one's poll, view and iteration get ConcurrentUse."""
    pub, sub = link.publish(), link.subscribe(wait=wait)
    with running(lambda: sub.poll(None)) as outcome:
        refused: list[Exception] = []

        def intrude() -> bool:
            try:
                sub.poll(0)
            except rdmaq.ConcurrentUse as error:
                refused.append(error)
            return bool(refused)

        eventually(intrude, "the first thread to be inside")
        assert "one thread at a time" in str(refused[0])
        assert outcome == {}
        pub.send(b"x")
    assert outcome["result"].messages == [b"x"]


def test_second_thread_in_a_publisher_is_refused_and_publishes_nothing(link: Link) -> None:
    """One thread is blocked at the gate; every kind of send from another gets ConcurrentUse.

    Between two slices of its wait the first is outside for a moment, so each kind is tried until
    it is refused; what got through then is counted.
    """
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    count = pub.stats.messages
    got_through: list[object] = []

    def is_refused(attempt: Callable[[], int]) -> bool:
        try:
            got_through.append(attempt())
        except rdmaq.ConcurrentUse as error:
            return "one thread at a time" in str(error)
        return False

    with running(lambda: pub.send(bytes(4000))) as outcome:
        eventually(lambda: pub.stats.stalls == 1)
        eventually(lambda: is_refused(lambda: pub.send(b"y")))
        eventually(lambda: is_refused(lambda: pub.send_many([b"y"])))
        eventually(lambda: is_refused(pub.heartbeat))
        assert outcome == {}
        take_messages(sub, count)
    assert outcome["result"] == pub.next_sequence - 1
    assert count + 1 <= pub.stats.messages <= count + 1 + len(got_through)


@pytest.mark.parametrize("wait", ["auto", "spin", "yield", "sleep"])
def test_close_from_another_thread_wakes_a_blocked_poll(link: Link, wait: str) -> None:
    """The poll raises ClosedError; so does everything after; a second close does nothing."""
    pub, sub = link.publish(), link.subscribe(wait=wait)
    inside = threading.Event()

    def poll() -> None:
        inside.set()
        sub.poll(None)

    with running(poll) as outcome:
        inside.wait()
        eventually(lambda: wait != "sleep" or sub.stats.wakes > 0, "the poll to sleep")
        sub.close()
    assert isinstance(outcome["error"], rdmaq.ClosedError)
    sub.close()
    assert sub.closed
    with pytest.raises(rdmaq.ClosedError, match="this subscription is closed"):
        sub.poll(0)
    eventually(lambda: pub.reader_count == 0, "the slot to be freed")


@pytest.mark.parametrize("how", ["send", "send_many", "send_batch"])
def test_close_from_another_thread_wakes_a_blocked_send(link: Link, how: str) -> None:
    """ClosedError, though part of it had gone out: half a send must not look like a whole one."""
    pub = link.publish(
        schema=TICK if how == "send_batch" else None, flow=rdmaq.reliable(timeout=NEVER_SECONDS)
    )
    sub = link.subscribe()
    big = 2 * link.transport.capacity_bytes
    if how == "send":
        fill(pub, link.transport.room_bytes)

    def send() -> None:
        if how == "send":
            pub.send(bytes(4000))
        elif how == "send_many":
            pub.send_many([message_of(s, 91) for s in range(1, big // 40)])
        else:
            pub.send_batch(ticks_of(1, big // TICK.itemsize))

    with running(send) as outcome:
        eventually(lambda: pub.stats.stalls == 1, "the send to wait")
        pub.close()
    assert isinstance(outcome["error"], rdmaq.ClosedError)
    published = pub.stats.messages
    assert published > 0
    take_messages(sub, published, max_messages=10_000)
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll(0)
    with pytest.raises(rdmaq.ClosedError, match="this publisher is closed"):
        pub.send_gap(published + 1, published + 1)
    with pytest.raises(rdmaq.ClosedError, match="this publisher is closed"):
        pub.heartbeat()


def test_closing_the_node_ends_its_streams_and_frees_its_name(link: Link) -> None:
    """Subscribers drain and end; the address answers nobody; a new node can have it."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"last")
    link.node.close()
    link.node.close()
    assert pub.closed
    assert take_messages(sub, 1) == [b"last"]
    with pytest.raises(rdmaq.EndOfStream):
        sub.poll(0)
    with pytest.raises(rdmaq.ClosedError, match="this node is closed"):
        link.node.publish("other")
    with pytest.raises(rdmaq.PeerNotFound):
        link.peer.streams()
    with rdmaq.Node(link.address) as again:
        again.publish("s", capacity=link.transport.capacity_bytes)
        assert [stream.name for stream in link.peer.streams()] == ["s"]
    link.peer.close()
    with pytest.raises(rdmaq.ClosedError, match="this peer is closed"):
        link.peer.streams()


def test_publishers_of_one_node_may_be_used_by_a_thread_each(link: Link) -> None:
    """Four streams, four publishing threads, four readers: each gets its own messages only."""
    count = 2000
    pubs = [link.publish(f"s{i}", flow=rdmaq.reliable(timeout=NEVER_SECONDS)) for i in range(4)]
    subs = [link.subscribe(f"s{i}") for i in range(4)]

    def publish(pub: rdmaq.Publisher) -> Callable[[], None]:
        def work() -> None:
            for sequence in range(1, count + 1):
                pub.send(pub.name.encode() + message_of(sequence, 50))

        return work

    threads = [threading.Thread(target=publish(pub)) for pub in pubs]
    for thread in threads:
        thread.start()
    for i, sub in enumerate(subs):
        got = take_messages(sub, count)
        assert got == [f"s{i}".encode() + message_of(s, 50) for s in range(1, count + 1)]
    for thread in threads:
        thread.join()
