"""One thread at a time; close() from any thread wakes whoever waits inside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

import rdmaq
from rdmaq._fast import lib
from tests.conformance.rig import (
    PATIENCE_SECONDS,
    TICK,
    Link,
    claim,
    eventually,
    message_of,
    take_messages,
    ticks_of,
)
from tests.conformance.test_full import NEVER_SECONDS, fill, running
from tests.conformance.waits import WAITS


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


def attempts(pub: rdmaq.Publisher) -> dict[str, Callable[[], object]]:
    """Every way to publish."""
    return {
        "send": lambda: pub.send(b"y"),
        "send_many": lambda: pub.send_many([b"y"]),
        "blocks": lambda: pub.send_many(rdmaq.MessageBlocks(b"\0\1y", 1)),
        "send_gap": lambda: pub.send_gap(pub.next_sequence, pub.next_sequence),
        "heartbeat": pub.heartbeat,
        "claim": lambda: claim(pub, b"y"),
    }


def test_second_thread_in_a_publisher_is_refused_and_publishes_nothing(link: Link) -> None:
    """One thread is blocked at the gate; every kind of send from another gets ConcurrentUse."""
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    count = pub.stats.messages
    with running(lambda: pub.send(bytes(4000))) as outcome:
        eventually(lambda: pub.stats.stalls == 1)
        for attempt in attempts(pub).values():
            with pytest.raises(rdmaq.ConcurrentUse, match="one thread at a time"):
                attempt()
        assert outcome == {}
        take_messages(sub, count)
    assert outcome["result"] == count + 1 == pub.stats.messages
    assert (pub.stats.gaps, pub.stats.frames) == (0, sub.stats.frames + 1)


def test_second_thread_between_two_slices_of_a_wait_is_refused(link: Link) -> None:
    """The first thread is back from C, gate still shut, and about to wait for another slice.

    It is given the publisher back, in whatever order: its own next call goes through.
    """
    pub, sub = link.publish(flow=rdmaq.reliable(timeout=NEVER_SECONDS)), link.subscribe()
    fill(pub, link.transport.room_bytes)
    count = pub.stats.messages
    between, go_on = threading.Event(), threading.Event()

    def send_with_a_pause() -> int:
        while lib.rq_publisher_wait(pub.handle, 4000, 0) == 0:
            between.set()
            go_on.wait()
        return pub.send(bytes(4000))

    with running(send_with_a_pause) as outcome:
        between.wait()
        for attempt in attempts(pub).values():
            with pytest.raises(rdmaq.ConcurrentUse, match="one thread at a time"):
                attempt()
        take_messages(sub, count)
        with pytest.raises(rdmaq.ConcurrentUse):
            pub.send(b"y")  # there is room now, and it is the other thread's turn
        go_on.set()
    assert outcome == {"result": count + 1}
    assert pub.send(b"y") == count + 2


def test_second_thread_is_refused_while_an_event_loop_sleeps(link: Link) -> None:
    """A poll would take the batch that the loop's task is woken for."""
    pub, sub = link.publish(), link.subscribe()

    async def read() -> object:
        return await anext(aiter(sub))

    with running(lambda: asyncio.run(read())) as outcome:
        eventually(lambda: sub._cursor.wake_loop is not None, "the task to sleep")
        with pytest.raises(rdmaq.ConcurrentUse, match="one thread at a time"):
            sub.poll(0)
        with pytest.raises(rdmaq.ConcurrentUse, match="one thread at a time"), sub.view(0):
            pytest.fail("it was lent")
        pub.send(b"x")
    assert outcome["result"].messages == [b"x"]
    link.settle()
    assert sub.poll(0) is None


@pytest.mark.parametrize("what", WAITS)
def test_close_from_another_thread_ends_every_wait(link: Link, what: str) -> None:
    """ClosedError for who waits, and for its next call; nobody is stuck, nothing is left inside."""
    wait = WAITS[what](link)
    with running(wait.call) as outcome:
        thread_id = threading.enumerate()[-1].ident
        eventually(lambda: wait.is_inside(thread_id), "the call to wait")
        wait.handle.close()
    assert isinstance(outcome["error"], rdmaq.ClosedError)
    with pytest.raises(rdmaq.ClosedError, match="is closed"):
        wait.call()


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
    link.settle()
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
        sub.poll(PATIENCE_SECONDS)
    with pytest.raises(rdmaq.ClosedError, match="this node is closed"):
        link.node.publish("other")
    with pytest.raises(rdmaq.PeerNotFound):
        link.peer.streams()
    with link.transport.node_at(link.address) as again:
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
