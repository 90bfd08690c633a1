"""Two threads on one pair, and loops that came and went: no report is taken for another's."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rdmaq.errors import ConcurrentUse, OperationFailed, PairError
from rdmaq.verbs.operation import Operation, Receive
from rdmaq.verbs.requests import BACKLOG_MAX
from rdmaq.verbs.watchdog import Watchdog
from tests.verbs.far import Far
from tests.verbs.nic import FLUSHED, REMOTE_ACCESS, SENDS, End, Place, connect, explain

LOCAL, REMOTE = Place(0x1000, 64), Place(0x2000, 64)


@pytest.fixture
def end() -> Iterator[End]:
    with End() as made:
        yield made


def in_thread(call: Callable[[], object]) -> object:
    """What the call returned or raised in another thread."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return results[0]


@pytest.mark.parametrize("way", ["wait", "run"])
def test_nobody_else_looks_before_what_was_found_is_settled(end: End, way: str) -> None:
    """While a failure is being explained another thread would take it for its own, or for none."""
    requests = end.pair.requests(2)
    requests.array["opcode"] = requests.WRITE
    told: list[object] = []

    def explain_slowly(**facts: object) -> OperationFailed:
        told.append(in_thread(lambda: end.pair.look(0)))
        told.append(in_thread(lambda: end.pair.run(requests)))
        return explain(**facts)

    end.pair._explain = explain_slowly
    if way == "wait":
        operation = end.pair.write(LOCAL, REMOTE)
        end.run(1, REMOTE_ACCESS)
        with pytest.raises(OperationFailed):
            operation.wait(5)
    else:
        end.be_quick(REMOTE_ACCESS)
        with pytest.raises(OperationFailed):
            end.pair.run(requests, 5)
    assert told[0] == -errno.EBUSY
    assert isinstance(told[1], ConcurrentUse)


def test_lowered_count_holds_when_something_is_in_flight_too(end: End) -> None:
    """What an earlier use left in the rest of the array is never posted."""
    requests = end.pair.requests(5)
    requests.array["opcode"] = requests.WRITE
    requests.count = 2
    end.pair.write(LOCAL, REMOTE)
    end.be_quick()
    end.pair.run(requests, 5)
    assert end.posted == 3
    end.pair.post(requests).wait(5)
    assert end.posted == 5


@pytest.mark.parametrize("count", [-1, 6, "2", 1.5])
def test_count_beyond_the_array_is_refused(end: End, count: int) -> None:
    requests = end.pair.requests(5)
    with pytest.raises(PairError, match="of 5 requests"):
        requests.count = count
    assert requests.count == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda pair: pair.requests(0),
        lambda pair: pair.requests(BACKLOG_MAX + 1),
        lambda pair: pair.requests("5"),
        lambda pair: pair.post(None),
        lambda pair: pair.run(None),
        lambda pair: pair.run(LOCAL, 1),
        lambda pair: pair.write(b"bytes", REMOTE),
        lambda pair: pair.read(LOCAL, None),
        lambda pair: pair.fetch_add(REMOTE, b"", 1),
        lambda pair: pair.batch().write(None, REMOTE),
        lambda pair: pair.write(LOCAL, REMOTE).wait("soon"),
        lambda pair: pair.write(LOCAL, REMOTE).wait(float("nan")),
    ],
)
def test_what_is_no_argument_is_told_in_words(end: End, call: Callable[[object], object]) -> None:
    with pytest.raises(PairError):
        call(end.pair)


def test_endless_timeout_is_one(end: End) -> None:
    operation = end.pair.write(LOCAL, REMOTE)
    end.run()
    operation.wait(float("inf"))


def test_more_than_may_wait_is_refused_whole(end: End) -> None:
    requests = end.pair.requests(BACKLOG_MAX)
    requests.array["opcode"] = requests.WRITE
    first = end.pair.post(requests)
    before = (end.posted, end.pair.outstanding)
    with pytest.raises(PairError, match="already"):
        end.pair.post(requests)
    assert (end.posted, end.pair.outstanding) == before
    end.be_quick()
    end.run()
    first.wait(20)
    assert (end.posted, end.pair.outstanding) == (BACKLOG_MAX, 0)


def test_what_waits_for_the_peers_receives_ends_with_its_pair(end: End) -> None:
    """The device knows nothing of it, and no receive will ever be granted."""
    bad = end.pair.write(LOCAL, REMOTE)
    waiting = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    later = end.pair.write(LOCAL, REMOTE)
    end.run(1, REMOTE_ACCESS)
    with pytest.raises(OperationFailed):
        bad.wait(5)
    for operation in (waiting, later):
        with pytest.raises(OperationFailed) as failure:
            operation.wait(5)
        assert (failure.value.status, failure.value.opcode) == (FLUSHED, "WRITE_WITH_IMM")
    again = end.pair.write_with_imm(LOCAL, REMOTE, 1)
    with pytest.raises(OperationFailed):
        again.wait(5)
    assert end.pair.outstanding == 0


def test_forked_child_is_told_that_it_is_closed_though_a_thread_was_inside(end: End) -> None:
    told: list[int] = []

    def fork(**facts: object) -> OperationFailed:
        pid = os.fork()
        if pid == 0:
            end.pair.forget()
            os._exit(0 if end.pair.look(0) == -errno.ESHUTDOWN else 1)
        told.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return explain(**facts)

    end.pair._explain = fork
    operation = end.pair.write(LOCAL, REMOTE)
    end.run(1, REMOTE_ACCESS)
    with pytest.raises(OperationFailed):
        operation.wait(5)
    assert told == [0]


def test_receives_are_posted_while_another_thread_posts_requests() -> None:
    """The NIC carries a READ out as it is posted; in the middle of it a receive is posted."""
    with Far(np.arange(4, dtype="<u8")) as far:
        told: list[object] = []
        post = far.session.end.pair.post_receives
        far.session.during_reads(lambda: told.append(in_thread(lambda: post(1))))
        assert far.region.read(3) == 3
        assert told == [1]


# ---- event loops -----------------------------------------------------------------------------


async def wait(operation: Operation) -> None:
    await operation


def test_operation_that_outlives_its_loop_can_be_waited_for_and_closed(end: End) -> None:
    """asyncio.run ends by a time-out, and closes the loop that the operation was awaited in."""

    async def give_up(operation: Operation) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(operation), 0.01)

    first, second, third = (end.pair.write(LOCAL, REMOTE) for _ in range(3))
    asyncio.run(give_up(first))
    end.run(1)
    first.wait(5)
    asyncio.run(give_up(second))
    end.run(1)
    asyncio.run(wait(second))
    asyncio.run(give_up(third))
    end.close()


def test_receive_that_was_given_up_is_awaited_by_nobody(end: End) -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(end.pair.receive_async(), 0.01)
        assert end.pair.receive(0) is None

    with End() as other:
        connect(end, other)
        other.pair.grant(end.pair.post_receives(1))
        asyncio.run(give_up())
        other.pair.write_with_imm(LOCAL, REMOTE, 3)
        other.run()
        assert end.pair.receive(5) == Receive(imm=3, length=64)


def test_watchdog_has_one_timer_however_often_a_pair_is_awaited(end: End) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(200):
            operation = end.pair.write(LOCAL, REMOTE)
            loop.call_soon(end.run)
            await operation
        timers = loop._scheduled  # type: ignore[attr-defined]
        assert len(timers) <= 1

    end.pair.watchdog = Watchdog(30.0, lambda: PairError("stands still"))
    asyncio.run(main())


def test_pair_made_after_one_was_closed_within_its_loop_can_be_awaited(end: End) -> None:
    """The new one's descriptor may have the number of the old one's."""

    async def main() -> None:
        receiving = asyncio.ensure_future(end.pair.receive_async())
        await asyncio.sleep(0)
        end.close()
        for _ in range(4):
            with End() as fresh:
                operation = fresh.pair.write(LOCAL, REMOTE)
                asyncio.get_running_loop().call_soon(fresh.run)
                await asyncio.wait_for(wait(operation), 20)
        with pytest.raises(Exception, match="closed"):
            await receiving

    asyncio.run(main())


def test_descriptor_of_the_loops_own_is_closed_with_its_pair() -> None:
    async def main(end: End) -> None:
        operation = end.pair.write(LOCAL, REMOTE)
        asyncio.get_running_loop().call_soon(end.run)
        await operation

    def descriptors_after(count: int) -> int:
        for _ in range(count):
            with End() as end:
                asyncio.run(main(end))
        del end
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    assert descriptors_after(1) == descriptors_after(3)


def test_device_that_answers_no_more_ends_what_is_awaited(
    end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        operation = end.pair.write(LOCAL, REMOTE)
        waiting = asyncio.ensure_future(wait(operation))
        receiving = asyncio.ensure_future(end.pair.receive_async())
        await asyncio.sleep(0)
        end.pair._awaiting._fail(-errno.EIO)
        for task in (waiting, receiving):
            with pytest.raises(PairError, match="EIO"):
                await asyncio.wait_for(task, 20)

    asyncio.run(main())


def test_backlog_is_posted_by_who_had_the_turn_when_another_would_have(end: End) -> None:
    """A thread posts without end, while another's looks free the room."""
    count = 20 * SENDS
    end.be_quick()

    def post() -> int:
        for _ in range(count):
            end.pair.write(LOCAL, REMOTE)
        return count

    thread = threading.Thread(target=post)
    thread.start()
    while thread.is_alive() or end.pair.outstanding:
        assert end.pair.look(0) >= -errno.EBUSY
    thread.join()
    assert (end.posted, end.pair.outstanding) == (count, 0)
