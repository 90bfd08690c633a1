"""Iterating over a subscription, blocking or in an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rdmaq._fast import BatchIterator
from rdmaq.errors import EndOfStream
from rdmaq.stream.batch import Batch

if TYPE_CHECKING:
    from rdmaq.stream.subscription import Subscription

_BATCHES_PER_TURN = 32
_IN_VAIN_MAX = 8
_IN_VAIN_SECONDS = 0.001
_RESTART_LOOK_SECONDS = 0.1
_LISTEN_SECONDS = 1.0


class Batches(BatchIterator):
    """Iterator and asynchronous iterator made by `Subscription.batches`; see there."""

    def __init__(
        self, subscription: Subscription, *, max_messages: int, timeout: float | None
    ) -> None:
        super().__init__(subscription, timeout, max_messages, EndOfStream)
        self._subscription = subscription
        self._count_max = max_messages
        self._timeout = timeout
        self._in_a_row = 0
        self._in_vain = 0

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Batch:
        loop = asyncio.get_running_loop()
        deadline = None if self._timeout is None else loop.time() + self._timeout
        # A flood of batches must not keep the loop from its other tasks.
        self._in_a_row += 1
        if self._in_a_row >= _BATCHES_PER_TURN:
            self._in_a_row = 0
            await asyncio.sleep(0)
        while True:
            try:
                batch = self._subscription.poll(0, max_messages=self._count_max)
            except EndOfStream:
                raise StopAsyncIteration from None
            if batch is not None:
                self._in_vain = 0
                return batch
            left_seconds = None if deadline is None else deadline - loop.time()
            if left_seconds is not None and left_seconds <= 0:
                raise StopAsyncIteration
            self._in_a_row = 0
            await self._sleep(loop, left_seconds)

    async def _sleep(self, loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
        """Until the publisher's byte comes, or its death; one future a wake, none a message."""
        subscription = self._subscription
        cursor = subscription._cursor
        subscription._enter()  # a thread that polls meanwhile would take what wakes us
        try:
            if cursor.publisher_lives():
                await self._sleep_inside(loop, seconds)
                return
            subscription._lose_publisher()  # raises, unless a restart is followed
        finally:
            subscription._leave()
        await asyncio.sleep(
            _RESTART_LOOK_SECONDS if seconds is None else min(seconds, _RESTART_LOOK_SECONDS)
        )

    async def _sleep_inside(self, loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
        subscription = self._subscription
        cursor = subscription._cursor
        code = cursor.arm()
        if code < 0:
            raise subscription._refusal(code)
        if code > 0:
            # Something came since we looked: the next poll has it. Or a hostile ring says so for
            # ever and gives nothing: the loop's other tasks run all the same.
            self._in_vain += 1
            await asyncio.sleep(0 if self._in_vain < _IN_VAIN_MAX else _IN_VAIN_SECONDS)
            return
        self._in_vain = 0
        woken = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        def wake_from_outside() -> bool:
            with suppress(RuntimeError):  # the loop is closed: nobody sleeps there any more
                loop.call_soon_threadsafe(wake)
                return True
            return False

        fds = [cursor.sock.fileno(), *([] if cursor.pidfd is None else [cursor.pidfd])]
        for fd in fds:
            loop.add_reader(fd, wake)

        def listen() -> None:
            """Now and then: a publisher that is stopped sends no byte to say so."""
            subscription._listen()
            timers[0] = loop.call_later(_LISTEN_SECONDS, listen)

        timers = [loop.call_later(_LISTEN_SECONDS, listen)]
        if seconds is not None:
            timers.append(loop.call_later(seconds, wake))
        cursor.wake_loop = wake_from_outside
        try:
            if not subscription.closed:  # else it was closed before it knew how to wake us
                await woken
        finally:
            for fd in fds:
                loop.remove_reader(fd)
            for timer in timers:
                timer.cancel()
            cursor.wake_loop = None
            if subscription.closed:
                cursor.hang_up()
        cursor.drain()
