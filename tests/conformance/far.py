"""A node in another machine, which a test uses as if it were here: the publisher's half of a link.

    python -m tests.conformance.far ADDRESS

serves one at an address of this machine, to one test session. What is called goes there by a TCP
socket, pickled: this is for two machines of our own.
"""

from __future__ import annotations

import pickle
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import rdmaq
from tests.conformance.rig import PATIENCE_SECONDS, Link

PORT = 18516
_LENGTH = struct.Struct("<I")


class Wire:
    """Python objects, both ways."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = connection.makefile("rwb")

    def send(self, value: Any) -> None:
        data = pickle.dumps(value)
        self._file.write(_LENGTH.pack(len(data)) + data)
        self._file.flush()

    def receive(self) -> Any:
        """The next. Raises EOFError: the other side has hung up."""
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise EOFError
        return pickle.loads(self._file.read(*_LENGTH.unpack(head)))

    def ask(self, key: int, name: str, *positional: Any, **named: Any) -> Any:
        """Calls a method of the object of that number, or gets an attribute: its value."""
        self.send((key, name, positional, named))
        kind, value = self.receive()
        if kind == "error":
            raise value
        if kind == "method":
            return partial(self.ask, key, name[1:])
        return Far(self, value) if kind == "object" else value


class Far:
    """An object over there: a node or a publisher."""

    def __init__(self, wire: Wire, key: int) -> None:
        self._wire, self._key = wire, key

    def __getattr__(self, name: str) -> Any:
        return self._wire.ask(self._key, f".{name}")

    def __enter__(self) -> Far:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.ask(self._key, "close")


class FarLink(Link):
    """Its node is over there, its peer and its subscriptions are here."""

    def _begin(self, stack: ExitStack) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                connection = socket.create_connection((self.transport.far, PORT))
                break
            except OSError:  # it does not listen yet
                assert time.monotonic() < deadline, "nobody listens over there"
                time.sleep(0.2)
        wire = Wire(stack.enter_context(connection))
        return stack.enter_context(Far(wire, 0))


def _answer(objects: dict[int, Any], question: tuple[int, str, Any, Any]) -> tuple[str, Any]:
    key, name, positional, named = question
    try:
        if name.startswith("."):
            value = getattr(objects[key], name[1:])
            if isinstance(value, Callable):  # type: ignore[arg-type]
                return "method", None
        else:
            value = getattr(objects[key], name)(*positional, **named)
    except Exception as error:
        return "error", error
    if isinstance(value, rdmaq.Publisher):
        objects[len(objects)] = value
        return "object", len(objects) - 1
    return "value", value


def serve(address: str) -> None:
    """Serves one test session."""
    with socket.create_server((address, PORT)) as listener:
        connection, _ = listener.accept()
        credentials = rdmaq.Credentials(insecure=True)
        with connection, rdmaq.Node(f"{address}:0", credentials=credentials) as node:
            wire, objects = Wire(connection), {0: node}
            with suppress(EOFError):
                while True:
                    wire.send(_answer(objects, wire.receive()))


if __name__ == "__main__":
    serve(sys.argv[1])
