"""Round trips through pyzmq: a PAIR socket at each end of an ipc path, its fastest pattern."""

from __future__ import annotations

import importlib.util
from typing import Any

_TIMEOUT_MS = 30_000


def is_there() -> bool:
    """It is no dependency of rdmaq: without it the table has a line less, and says so."""
    return importlib.util.find_spec("zmq") is not None


def open_end(path: str, *, is_near: bool) -> Any:
    """The asking side binds, the other connects. The socket keeps its context."""
    import zmq

    socket = zmq.Context().socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, _TIMEOUT_MS)
    if is_near:
        socket.bind(f"ipc://{path}")
    else:
        socket.connect(f"ipc://{path}")
    return socket


def close(socket: Any) -> None:
    """Ends socket and context, and with it its thread."""
    socket.close()
    socket.context.term()
