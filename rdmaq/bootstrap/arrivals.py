"""Calls whose request has not arrived yet: each holds a thread, so none may do so for long.

gRPC gives a call to a thread as soon as its headers are there. Whoever sends headers and no message
keeps that thread, and needs neither token nor session for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rdmaq.errors import BootstrapError

#: How long a request may take to arrive behind its headers, which clients send together with it;
#: and how long where more than a quarter of the threads wait for one.
PATIENCE_SECONDS, PATIENCE_SECONDS_SCARCE = 5.0, 0.2


class Call(Protocol):
    """What of `grpc.ServicerContext` is needed."""

    def cancel(self) -> None:
        """Hangs up."""


class Arrivals:
    """Waits for the requests of one server's calls; any thread may call.

    Args:
        threads: how many the server has.
        clock: seconds, monotonic.
    """

    def __init__(self, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._plenty = threads // 4
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[float, Call]] = {}  # the first has waited longest

    def take(self, requests: Iterator[bytes], call: Call) -> bytes:
        """The one request of a call.

        Raises:
            BootstrapError: the caller ended the call without one.
            Exception: gRPC's, when we or the caller hung up.
        """
        key = object()
        with self._lock:
            self._waiting[key] = (self._clock(), call)
        try:
            return next(requests)
        except StopIteration:
            raise BootstrapError(
                "the call ended without a request: each has one; send it along with the headers"
            ) from None
        finally:
            with self._lock:
                del self._waiting[key]

    @property
    def count(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    def hang_up(self, *, on_all: bool = False) -> None:
        """Ends the calls whose request is late; to be called every now and then, and at the end."""
        with self._lock:  # so that none of them has ended meanwhile
            is_scarce = len(self._waiting) > self._plenty
            patience = PATIENCE_SECONDS_SCARCE if is_scarce else PATIENCE_SECONDS
            late = self._clock() - patience
            for since, call in self._waiting.values():
                if since > late and not on_all:
                    break
                call.cancel()
