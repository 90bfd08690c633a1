"""Waiting for a pair's reports in an event loop: the completion channel's descriptor is watched."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
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

    __slots__ = ("_fd", "_guarded", "_loop", "_pair", "_queue", "_receivers")

    def __init__(self, pair: Reports, queue: Queue) -> None:
        self._pair = pair
        self._queue = queue
        # A descriptor of our own: the queue's may be closed, and its number another's, before the
        # loop has its turn to let go of it.
        self._fd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guarded: asyncio.AbstractEventLoop | None = None  # whose timer is running
        self._receivers: deque[asyncio.Future[Receive]] = deque()

    def is_awaited(self) -> bool:
        """Whether an event loop waits for something of this pair; a loop that was closed does not.

        `asyncio.run` closes its own, and may leave an operation in flight.
        """
        if self._loop is not None and self._loop.is_closed():
            self._loop = self._guarded = None
            self._receivers.clear()
            for operation in list(self._pair._in_flight):
                operation._futures = None
            self._pair.awaited_count = 0
        return self._pair.awaited_count != 0

    def future_of(self, operation: Operation) -> asyncio.Future[None]:
        """A future that ends when the operation does; more than one may wait for it."""
        loop = self._watch()
        future: asyncio.Future[None] = loop.create_future()
        if operation._futures is None:
            operation._futures = []
            self._pair.awaited_count += 1
        operation._futures.append(future)
        self._pump()
        if self._pair.reported >= operation._end and not future.done():
            # Another thread saw its end before there was a future.
            future.set_result(None)
            if operation._futures is not None:
                operation._futures = None
                self._pair.awaited_count -= 1
        return future

    def future_of_receive(self) -> asyncio.Future[Receive]:
        """A future of the next receive that nobody else awaits."""
        loop = self._watch()
        future: asyncio.Future[Receive] = loop.create_future()
        future.add_done_callback(self._give_up)
        self._receivers.append(future)
        self._pair.awaited_count += 1
        self._pump()
        return future

    def deliver(self, receives: deque[Receive]) -> None:
        """Hands receives to those who await them, in order."""
        while receives and self._receivers:
            future = self._receivers.popleft()
            self._pair.awaited_count -= 1
            if future.done():
                continue  # it was cancelled: the next one gets it
            receive = receives.popleft()
            try:
                future.get_loop().call_soon_threadsafe(self._give, future, receive, receives)
            except RuntimeError:  # its loop was closed
                receives.appendleft(receive)

    def refuse_receivers(self, error: Callable[[], Exception]) -> None:
        """Tells those who await receives that none will come."""
        while self._receivers:
            future = self._receivers.popleft()
            self._pair.awaited_count -= 1
            with suppress(RuntimeError):  # its loop was closed: nobody awaits it any more
                future.get_loop().call_soon_threadsafe(_refuse, future, error())

    def stop(self) -> None:
        """Lets go of the loop; whoever awaits a receive learns that none will come."""
        loop, self._loop = self._loop, None
        fd, self._fd = self._fd, -1
        self._pair.awaited_count = 0
        if loop is not None:
            with suppress(RuntimeError):  # it was closed
                while self._receivers:
                    future = self._receivers.popleft()
                    loop.call_soon_threadsafe(_refuse, future, self._pair.closed_error())
                loop.call_soon_threadsafe(_let_go, loop, fd)
                return
        if fd >= 0:
            os.close(fd)

    def _watch(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        self.is_awaited()
        if self._loop is None:
            if self._fd < 0:
                self._fd = os.dup(self._queue.channel_fd)
            self._loop = loop
            loop.add_reader(self._fd, self._on_event)
            self._guard(loop)
        elif self._loop is not loop:
            raise ConcurrentUse(
                "this pair is awaited in another event loop: await its operations in one only"
            )
        return loop

    def _unwatch(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._fd)
            self._loop = None

    def _guard(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the watchdog look while somebody awaits; no event tells of what does not come.

        One timer at a time, however often the pair is awaited until it ends.
        """
        watchdog = self._pair.watchdog
        if watchdog is not None and self._guarded is not loop:
            self._guarded = loop
            loop.call_later(min(1.0, watchdog.seconds / 4), self._look_after, loop)

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        self._guarded = None
        if self._loop is loop and self._pair.watchdog is not None:
            self._pair.watchdog.look(self._pair)
            self._guard(loop)

    def _on_event(self) -> None:
        lib.rq_cq_clear(self._queue.handle)
        self._pump()

    def _pump(self) -> None:
        """Looks until there is nothing, arms, and sleeps in the loop; ends when nobody awaits."""
        for _ in range(_TURNS_MAX):
            code, loop = self._pair.look(0), self._loop
            if loop is None:
                return
            if self._pair.awaited_count == 0:
                self._unwatch()
                return
            if code == 0:
                code = lib.rq_cq_arm(self._queue.handle)
                if code == 0:
                    return
            if code == -errno.EBUSY:  # a thread came first, and may take what would wake us
                loop.call_later(_BUSY_SECONDS, self._pump)
                return
            if code == -errno.ESHUTDOWN:
                return  # who drains resolves the futures
            if code < 0:
                self._fail(code)
                return
        assert loop is not None
        loop.call_soon(self._pump)

    def _fail(self, code: int) -> None:
        """The device answers no more: no report will come."""
        error = self._pair._refusal(code)
        for operation in list(self._pair._in_flight):
            futures, operation._futures = operation._futures, None
            for future in futures or ():
                _refuse(future, error)
        while self._receivers:
            _refuse(self._receivers.popleft(), error)
        self._pair.awaited_count = 0
        self._unwatch()

    def _give(
        self, future: asyncio.Future[Receive], receive: Receive, receives: deque[Receive]
    ) -> None:
        if future.done():  # cancelled meanwhile
            receives.appendleft(receive)
            self.deliver(receives)
        else:
            future.set_result(receive)

    def _give_up(self, future: asyncio.Future[Receive]) -> None:
        if not future.cancelled():
            return
        try:
            self._receivers.remove(future)
        except ValueError:
            return
        self._pair.awaited_count -= 1
        if self._pair.awaited_count == 0:
            self._unwatch()


def _let_go(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    loop.remove_reader(fd)
    os.close(fd)


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
