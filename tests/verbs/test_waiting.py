"""Waiting for operations: in threads, in event loops, past a fork, and through a close."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rdmaq.errors import ClosedError, ConcurrentUse, OperationFailed, OperationPending
from rdmaq.verbs.operation import Operation, Receive
from tests.verbs.nic import REMOTE_ACCESS, SENDS, End, Place, connect

LOCAL = Place(0x10000, 4096)
REMOTE = Place(0x20000, 4096)


@pytest.fixture
def end() -> Iterator[End]:
    with End() as made:
        yield made


class Waiter(threading.Thread):
    """A thread that waits for an operation and keeps what it was told."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.operation.wait(20)
        except Exception as error:
            self.error = error


def waiting(end: End, operation: Operation) -> Waiter:
    """A thread that is inside C by now: it has armed the queue, to sleep on its channel."""
    waiter = Waiter(operation)
    before = end.arms
    waiter.start()
    while end.arms == before:
        time.sleep(0)
    return waiter


def test_pending_operation_says_so_and_can_be_waited_for_again(end: End) -> None:
    operation = end.pair.write(LOCAL, REMOTE)
    for timeout in (0, 0.001):
        with pytest.raises(OperationPending):
            operation.wait(timeout)
    end.run()
    operation.wait(0)


def test_second_waiter_is_refused_while_posting_goes_on(end: End) -> None:
    first = end.pair.write(LOCAL, REMOTE)
    waiter = waiting(end, first)
    second = end.pair.write(LOCAL, REMOTE)
    with pytest.raises(ConcurrentUse):
        second.wait(0)
    end.run()
    waiter.join(20)
    assert waiter.error is None
    second.wait(5)


def test_close_wakes_who_waits_in_another_thread(end: End) -> None:
    operation = end.pair.write(LOCAL, REMOTE)
    waiter = waiting(end, operation)
    end.close()
    waiter.join(20)
    assert isinstance(waiter.error, (ClosedError, OperationFailed))


def test_forked_child_is_refused_and_the_parent_goes_on(end: End) -> None:
    operation = end.pair.write(LOCAL, REMOTE)
    pid = os.fork()
    if pid == 0:
        end.pair.forget()
        end.queue.forget()
        refused = 0
        for call in (lambda: end.pair.write(LOCAL, REMOTE), lambda: operation.wait(1)):
            try:
                call()
            except ClosedError:
                refused += 1
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    end.run()
    operation.wait(5)


def test_event_loop_awaits_many_at_once(end: End) -> None:
    """More than the queue holds; the NIC works between the loop's turns, one request at a time."""

    async def main() -> None:
        operations = [end.pair.write(LOCAL, REMOTE) for _ in range(4 * SENDS)]
        ended = asyncio.gather(*map(wait, operations))
        while not ended.done():
            end.run(1)
            await asyncio.sleep(0)
        await ended
        assert end.pair.outstanding == 0

    async def wait(operation: Operation) -> None:
        await operation

    asyncio.run(main())
    operation = end.pair.write(LOCAL, REMOTE)  # and threads may wait again
    end.run()
    operation.wait(5)


def test_awaited_failure_is_raised_where_it_is_awaited(end: End) -> None:
    async def main() -> None:
        operation = end.pair.write(LOCAL, REMOTE)
        asyncio.get_running_loop().call_soon(end.run, 1, REMOTE_ACCESS)
        with pytest.raises(OperationFailed):
            await operation

    asyncio.run(main())


def test_thread_is_refused_while_a_loop_awaits_and_cancelling_ends_that(end: End) -> None:
    async def main() -> None:
        operation = end.pair.write(LOCAL, REMOTE)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future(operation), 0.01)
        with pytest.raises(ConcurrentUse):
            operation.wait(1)
        end.run()
        await operation

    async def future(operation: Operation) -> None:
        await operation

    asyncio.run(main())
    operation = end.pair.write(LOCAL, REMOTE)
    end.run()
    operation.wait(5)


def test_receives_are_awaited_in_order(end: End) -> None:
    async def main() -> list[Receive]:
        with End() as other:
            connect(end, other)
            end.pair.grant(other.pair.post_receives(3))
            gathered = asyncio.gather(*(other.pair.receive_async() for _ in range(3)))
            await asyncio.sleep(0)
            for number in range(3):
                end.pair.write_with_imm(LOCAL[0:8], REMOTE, number)
            end.run()
            return await gathered

    assert [receive.imm for receive in asyncio.run(main())] == [0, 1, 2]


@pytest.mark.parametrize(
    "await_it",
    [lambda pair: pair.receive_async(), lambda pair: wait_for_write(pair)],
    ids=["receive", "write"],
)
def test_close_ends_what_is_awaited(end: End, await_it: Callable[..., object]) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(await_it(end.pair))  # type: ignore[call-overload]
        await asyncio.sleep(0)
        end.close()
        with pytest.raises((ClosedError, OperationFailed)):
            await task

    asyncio.run(main())


async def wait_for_write(pair: object) -> None:
    await pair.write(LOCAL, REMOTE)  # type: ignore[attr-defined]
