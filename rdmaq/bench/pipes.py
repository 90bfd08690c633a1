"""Round trips through multiprocessing.Pipe: bytes, as its users send them."""

from __future__ import annotations

from multiprocessing.connection import Connection, Pipe
from typing import Any


def make() -> tuple[Any, Any]:
    """(our end, the end whose descriptor a child inherits)."""
    return Pipe()


def open_end(fd: int) -> Any:
    """The end that was inherited under this number; owns it."""
    return Connection(fd)
