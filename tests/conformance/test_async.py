"""`async for`: no thread, no polling, one wake a batch, and nothing left behind in the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

import rdmaq
from tests.conformance.child import Child
from tests.conformance.rig import PATIENCE_SECONDS, Ledger, Link, Transport, message_of


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine in a loop of its own, bounded."""
    asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS))


async def one(sub: rdmaq.Subscription) -> rdmaq.Batch:
    """The next batch, by `async for`'s own way."""
    return await anext(aiter(sub))


async def asleep(sub: rdmaq.Subscription) -> None:
    """Until the task that reads `sub` waits for its socket."""
    while not watched(sub):
        await asyncio.sleep(0.001)


def watched(sub: rdmaq.Subscription) -> list[int]:
    """The descriptors of `sub` for which the running loop has a reader."""
    loop: Any = asyncio.get_running_loop()
    cursor = sub._cursor
    fds = [cursor.sock.fileno(), *([] if cursor.pidfd is None else [cursor.pidfd])]
    return [fd for fd in fds if fd in loop._selector.get_map()]


def test_messages_and_gaps_come_and_the_end_ends_the_loop(link: Link) -> None:
    """Published before, and while the task sleeps; then the stream is closed."""
    pub, sub, ledger = link.publish(), link.subscribe(), Ledger()
    pub.send_many([message_of(s) for s in (1, 2, 3)])

    async def read() -> None:
        async for batch in sub:
            ledger.take(batch)

    async def work() -> None:
        task = asyncio.create_task(read())
        for _ in range(20):
            await asleep(sub)
            if pub.next_sequence == 10:
                pub.send_gap(10, 12)
            else:
                pub.send(message_of(pub.next_sequence))
            while ledger.next_sequence < pub.next_sequence:
                await asyncio.sleep(0)
        await asleep(sub)
        pub.close()
        await task

    run(work())
    assert ledger.next_sequence == pub.next_sequence
    assert ledger.lost == {"upstream": 3, "overrun": 0}
    assert sub.ended


def test_async_iteration_starts_no_thread(link: Link) -> None:
    """The same threads before, while it sleeps and after it was woken."""
    pub, sub = link.publish(), link.subscribe()
    before = set(threading.enumerate())
    seen: list[set[threading.Thread]] = []

    async def work() -> None:
        task = asyncio.create_task(one(sub))
        await asleep(sub)
        seen.append(set(threading.enumerate()))
        pub.send(b"x")
        assert (await task).messages == [b"x"]
        seen.append(set(threading.enumerate()))

    run(work())
    assert seen == [before, before]


def test_idle_async_subscriber_wakes_for_nothing(link: Link) -> None:
    """Between two messages, no callback of ours runs in the loop: nothing polls.

    Heartbeats go on all the while: they must not wake it either.
    """
    pub, sub = link.publish(), link.subscribe()

    async def work() -> None:
        task = asyncio.create_task(one(sub))
        await asleep(sub)
        loop: Any = asyncio.get_running_loop()
        selected = []
        select = loop._selector.select

        def counting_select(timeout: float | None) -> Any:
            events = select(timeout)
            selected.append(len(events))
            return events

        loop._selector.select = counting_select
        await asyncio.sleep(0.5)
        assert sum(selected) == 0, "a descriptor became ready though nothing was sent"
        assert len(selected) <= 3, "the loop went round though nothing was to be done"
        pub.send(b"x")
        await task

    run(work())


def test_timeout_ends_async_iteration_and_ended_tells_that_it_was_that(link: Link) -> None:
    """Nothing comes: the loop ends; the stream goes on, and can be iterated again."""
    pub, sub = link.publish(), link.subscribe()
    batches: list[rdmaq.Batch] = []

    async def read() -> None:
        async for batch in sub.batches(timeout=0.05):
            batches.append(batch)  # noqa: PERF401

    run(read())
    assert batches == []
    assert not sub.ended
    pub.send(b"x")
    run(read())
    assert [batch.messages for batch in batches] == [[b"x"]]


def test_cancelled_iteration_leaves_nothing_in_the_loop_and_loses_nothing(link: Link) -> None:
    """Cancel the sleeping task: no reader, no timer of ours; the next iteration goes on."""
    pub, sub = link.publish(), link.subscribe()

    async def work() -> None:
        loop: Any = asyncio.get_running_loop()
        timers = len(loop._scheduled)
        task = asyncio.create_task(anext(sub.batches(timeout=1000.0)))
        await asleep(sub)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert watched(sub) == []
        assert len([t for t in loop._scheduled if not t.cancelled()]) <= timers
        pub.send(b"x")
        assert (await anext(aiter(sub))).messages == [b"x"]

    run(work())


def test_flood_does_not_starve_other_tasks(link: Link) -> None:
    """A ring full of batches of one message: another task gets its turns among them."""
    pub, sub = link.publish(capacity="1MiB"), link.subscribe()
    count, turns = 5000, 0
    for _ in range(count):
        pub.send(b"x")
    pub.close()

    async def read() -> int:
        return sum([len(batch) async for batch in sub.batches(max_messages=1)])

    async def work() -> None:
        nonlocal turns
        task = asyncio.create_task(read())
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert task.result() == count

    run(work())
    assert turns > count / 100


def test_killed_publisher_wakes_async_iteration(publisher: Child, transport: Transport) -> None:
    """PublisherGone comes without a timeout, by the hang-up alone; the loop is left clean."""
    with transport.connect(publisher.address).subscribe("s") as sub:

        async def work() -> None:
            task = asyncio.create_task(one(sub))
            await asleep(sub)
            publisher.kill()
            with pytest.raises(rdmaq.PublisherGone):
                await task
            assert watched(sub) == []

        run(work())


@pytest.mark.parametrize("from_thread", [False, True], ids=["same loop", "other thread"])
def test_close_wakes_async_iteration(link: Link, from_thread: bool) -> None:
    """close() by another task or thread: ClosedError, as a blocked poll gets."""
    link.publish()
    sub = link.subscribe()

    async def work() -> None:
        task = asyncio.create_task(one(sub))
        await asleep(sub)
        if from_thread:
            await asyncio.to_thread(sub.close)
        else:
            sub.close()
        with pytest.raises(rdmaq.ClosedError):
            await task

    run(work())


def test_two_subscriptions_share_a_loop(link: Link) -> None:
    """Each task is woken by its own stream only, and both end."""
    pubs = [link.publish(name) for name in ("a", "b")]
    subs = [link.subscribe(name) for name in ("a", "b")]
    got: dict[str, list[bytes]] = {"a": [], "b": []}

    async def read(sub: rdmaq.Subscription) -> None:
        async for batch in sub:
            got[sub.name] += batch.messages

    async def work() -> None:
        tasks = [asyncio.create_task(read(sub)) for sub in subs]
        for turn in range(10):
            pub = pubs[turn % 2]
            await asleep(subs[turn % 2])
            pub.send(f"{pub.name}{turn}".encode())
            while len(got[pub.name]) <= turn // 2:
                await asyncio.sleep(0)
        for pub in pubs:
            pub.close()
        await asyncio.gather(*tasks)

    run(work())
    assert got["a"] == [f"a{turn}".encode() for turn in range(0, 10, 2)]
    assert got["b"] == [f"b{turn}".encode() for turn in range(1, 10, 2)]


def test_publisher_that_stands_still_is_told_of_while_async_iteration_sleeps(
    publisher: Child, transport: Transport
) -> None:
    """SIGSTOP: "silent" comes though nothing wakes the task; SIGCONT: "heard", then a message."""
    with transport.connect(publisher.address).subscribe("s") as sub:
        kinds: list[str] = []

        async def told(kind: str) -> None:
            while kind not in kinds:
                kinds.extend(event.kind for event in sub.events())
                await asyncio.sleep(0.01)

        async def work() -> None:
            task = asyncio.create_task(one(sub))
            await asleep(sub)
            publisher.stop()
            await told("silent")
            assert not task.done()
            publisher.resume()
            await told("heard")
            assert not task.done()
            publisher.begin("pub.send(b'x')")
            assert (await task).messages == [b"x"]

        run(work())
        assert kinds == ["connected", "silent", "heard"]


def test_event_loop_does_not_replace_a_ring_that_a_thread_reads(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publisher is gone, and the next incarnation waits: but a thread is inside."""
    link.publish()
    sub = link.subscribe(on_restart="follow")
    batches = sub.batches()
    monkeypatch.setattr(sub._cursor, "publisher_lives", lambda: False)
    cursor = sub._cursor
    sub._enter()  # the thread

    async def sleep() -> None:
        await batches._sleep(asyncio.get_running_loop(), 0.0)

    with pytest.raises(rdmaq.ConcurrentUse):
        asyncio.run(sleep())
    sub._leave()
    assert sub._cursor is cursor
    assert "gone" not in [event.kind for event in sub.events()]
    asyncio.run(sleep())  # and when it has left
    assert "gone" in [event.kind for event in sub.events()]
