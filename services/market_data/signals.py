"""SIGTERM and SIGHUP as an exception, so that everything is ended in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """The process was told to end (SIGTERM, or SIGHUP when its terminal closed)."""


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raises `Terminated` in the main thread when SIGTERM or SIGHUP comes within the block."""

    def terminate(number: int, frame: object) -> None:
        del number, frame
        raise Terminated

    numbers = (signal.SIGTERM, signal.SIGHUP)
    # nohup's wish stays: what is ignored stays ignored.
    before = {n: signal.getsignal(n) for n in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
