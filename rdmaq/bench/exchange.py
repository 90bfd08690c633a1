"""Asking and answering in a loop, over whatever sends and receives."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat
from typing import Any


def ping(
    send: Callable[[bytes], Any], receive: Callable[[], Any], message: bytes, count: int
) -> list[int]:
    """`count` round trips; the clock's readings between them."""
    clock = time.perf_counter_ns
    stamps = [clock()]
    note = stamps.append
    for _ in repeat(None, count):
        send(message)
        receive()
        note(clock())
    return stamps


def pong(send: Callable[[bytes], Any], receive: Callable[[], bytes], count: int) -> None:
    """Sends back what comes, `count` times."""
    for _ in repeat(None, count):
        send(receive())
