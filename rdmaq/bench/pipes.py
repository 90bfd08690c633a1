"""Round trips through multiprocessing.Pipe: bytes, as its users send them."""

from __future__ import annotations

import time
from itertools import repeat
from multiprocessing.connection import Connection, Pipe
from typing import Any


def make() -> tuple[Any, Any]:
    """(our end, the end whose descriptor a child inherits)."""
    return Pipe()


def open_end(fd: int) -> Any:
    """The end that was inherited under this number; owns it."""
    return Connection(fd)


def ping(end: Any, message: bytes, count: int) -> list[int]:
    """`count` round trips; the clock's readings between them."""
    clock, send, receive = time.perf_counter_ns, end.send_bytes, end.recv_bytes
    stamps = [clock()]
    note = stamps.append
    for _ in repeat(None, count):
        send(message)
        receive()
        note(clock())
    return stamps


def pong(end: Any, count: int) -> None:
    """Sends back what comes, `count` times."""
    send, receive = end.send_bytes, end.recv_bytes
    for _ in repeat(None, count):
        send(receive())
