"""The framing between us and the guest's agent (guest/agent.h has the same table).

A frame is its kind (1 byte), the payload's length (4 bytes, big-endian) and the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

TOKEN, REQUEST, INPUT, SIGNAL, WINDOW = b"T", b"R", b"I", b"S", b"W"
OUTPUT, ERROR, TAKEN, FAILED, EXIT = b"O", b"E", b"K", b"F", b"X"

PAYLOAD_BYTES_MAX = 1 << 20
INPUT_WINDOW_BYTES = 1 << 18  # of standard input sent and not yet taken: the agent holds so much
ARGUMENTS_MAX = 16_000

_HEADER = struct.Struct(">cI")


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return _HEADER.pack(kind, len(payload)) + payload


class Reader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take bytes as they came, yield (kind, payload) of every frame completed by them."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            yield kind, payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to run in a guest, and as whom.

    Attributes:
        terminal: rows and columns of a terminal to give it, or None for three pipes.
    """

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = 0
    group: int = 0
    groups: Sequence[int] = ()
    terminal: tuple[int, int] | None = None

    def pack(self, clock_ns: int) -> bytes:
        """Return the request's payload; `clock_ns` is the time of day that the guest takes over.

        Raises:
            ValueError: an argument holds a NUL byte, or there is more than the agent takes.
        """
        fields = [
            str(clock_ns),
            str(self.user),
            str(self.group),
            ",".join(map(str, self.groups)),
            "" if self.terminal is None else "{} {}".format(*self.terminal),
            self.folder,
            str(len(self.arguments)),
            *self.arguments,
            *(f"{name}={value}" for name, value in self.environment.items()),
        ]
        encoded = [f.encode("utf-8", "surrogateescape") for f in fields]
        if any(b"\0" in f for f in encoded):
            raise ValueError("a NUL byte cannot be part of an argument or a setting")
        payload = b"\0".join(encoded) + b"\0"
        if len(payload) > PAYLOAD_BYTES_MAX or len(fields) > ARGUMENTS_MAX:
            raise ValueError(
                f"{len(fields)} arguments and settings take {len(payload)} bytes; at most "
                f"{ARGUMENTS_MAX} of 1 MiB go into one command: pass long lists by a file"
            )
        return payload
