"""SIGTERM as an exception, so that everything is ended in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """The process was told to end (SIGTERM)."""


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """Raises `Terminated` in the main thread when SIGTERM comes within the block."""

    def terminate(number: int, frame: object) -> None:
        del number, frame
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
