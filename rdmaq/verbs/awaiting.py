"""Waiting for a pair's reports in an event loop: the completion channel's descriptor is watched."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from typing import TYPE_CHECKING, Any

from rdmaq._fast import lib
from rdmaq.errors import ConcurrentUse
from rdmaq.verbs.operation import Operation, Receive

if TYPE_CHECKING:
    from rdmaq.verbs.reports import Queue, Reports

_BUSY_SECONDS = 0.001
_TURNS_MAX = 16  # looks in a row, before the loop's other tasks have theirs


class Awaiting:
    """Who awaits what of one pair. All of it belongs to one event loop at a time.

    The pair's `awaited_count` counts the operations and receives.
    """

    __slots__ = ("_loop", "_pair", "_queue", "_receivers")

    def __init__(self, pair: Reports, queue: Queue) -> None:
        self._pair = pair
        self._queue = queue
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receivers: deque[asyncio.Future[Receive]] = deque()

    def future_of(self, operation: Operation) -> asyncio.Future[None]:
        """A future that ends when the operation does; more than one may wait for it."""
        loop = self._watch()
        future: asyncio.Future[None] = loop.create_future()
        if operation._futures is None:
            operation._futures = []
            self._pair.awaited_count += 1
        operation._futures.append(future)
        self._pump()
        return future

    def future_of_receive(self) -> asyncio.Future[Receive]:
        """A future of the next receive that nobody else awaits."""
        loop = self._watch()
        future: asyncio.Future[Receive] = loop.create_future()
        self._receivers.append(future)
        self._pair.awaited_count += 1
        self._pump()
        return future

    def deliver(self, receives: deque[Receive]) -> None:
        """Hands receives to those who await them, in order."""
        while receives and self._receivers:
            future = self._receivers.popleft()
            self._pair.awaited_count -= 1
            if not future.done():  # else it was cancelled: the next one gets it
                future.get_loop().call_soon_threadsafe(_give, future, receives.popleft(), receives)

    def stop(self) -> None:
        """Lets go of the loop; whoever awaits a receive learns that none will come."""
        loop, self._loop = self._loop, None
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(loop.remove_reader, self._queue.channel_fd)
        while self._receivers:
            future = self._receivers.popleft()
            loop.call_soon_threadsafe(_refuse, future, self._pair.closed_error())
        self._pair.awaited_count = 0

    def _watch(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop.is_closed():
            self._loop, self._pair.awaited_count = None, 0
        if self._loop is None:
            self._loop = loop
            loop.add_reader(self._queue.channel_fd, self._on_event)
            self._guard(loop)
        elif self._loop is not loop:
            raise ConcurrentUse(
                "this pair is awaited in another event loop: await its operations in one only"
            )
        return loop

    def _guard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the watchdog look while somebody awaits; no event tells of what does not come."""
        watchdog = self._pair.watchdog
        if self._loop is loop and watchdog is not None:
            watchdog.look(self._pair)
            loop.call_later(min(1.0, watchdog.seconds / 4), self._guard, loop)

    def _on_event(self) -> None:
        if lib.rq_cq_clear(self._queue.handle) >= 0:
            self._pump()

    def _pump(self) -> None:
        """Looks until there is nothing, arms, and sleeps in the loop; ends when nobody awaits."""
        for _ in range(_TURNS_MAX):
            code = self._pair.look(0)
            if self._loop is None:
                return
            if code == -errno.EBUSY:  # a thread came first, and may take what would wake us
                self._loop.call_later(_BUSY_SECONDS, self._pump)
                return
            if code < 0:
                return  # closed: who drains resolves the futures
            if self._pair.awaited_count == 0:
                self._loop.remove_reader(self._queue.channel_fd)
                self._loop = None
                return
            if code == 0 and lib.rq_cq_arm(self._queue.handle) != 1:
                return
        assert self._loop is not None
        self._loop.call_soon(self._pump)


def _give(future: asyncio.Future[Receive], receive: Receive, receives: deque[Receive]) -> None:
    if future.done():
        receives.appendleft(receive)  # cancelled meanwhile
    else:
        future.set_result(receive)


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
