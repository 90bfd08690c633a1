"""What a node has on offer, and what it answers to who asks: on the listener's thread."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from rdmaq import errors
from rdmaq._fast import error_text, ffi, lib
from rdmaq.shm import wire
from rdmaq.shm.listener import Reply
from rdmaq.stream import refusals
from rdmaq.stream import schema as schemas
from rdmaq.stream.publisher import Publisher

_PACKET_SLACK_BYTES = 256  # of a packet: what stands around its variable parts

# What a refusal may take of a packet: each part is cut, so that the whole can always be sent.
_TEXT_BYTES_MAX = 16 << 10
_DTYPE_BYTES_MAX = 24 << 10
_NAMES_BYTES_MAX = 24 << 10
assert (
    _TEXT_BYTES_MAX + 2 * _DTYPE_BYTES_MAX + _NAMES_BYTES_MAX + _PACKET_SLACK_BYTES
    <= wire.PACKET_BYTES_MAX
)


class Offer:
    """The streams of one node.

    Args:
        address: the node's, for messages.
        others: who answers requests for other things than streams, by what they want.

    Attributes:
        instance: what tells this node from any other, 16 bytes.
        streams: by name. Taken and changed under `lock` only.
        lock: the user's threads and the listener's.
    """

    def __init__(
        self, address: str, others: Mapping[str, Callable[[dict[str, Any]], Reply]]
    ) -> None:
        self.address = address
        self.instance = secrets.token_bytes(16)
        self._others = dict(others)
        self.streams: dict[str, Publisher] = {}
        self.lock = threading.Lock()

    def check_free(self, name: str) -> None:
        """Raises StreamExists if there is one of that name. Must be called under the lock."""
        if name in self.streams:
            raise errors.StreamExists(
                f"stream {name!r} is published at {self.address} already: close it first, or "
                "use another name"
            )

    def find(self, name: str) -> Publisher | None:
        """The stream of that name; None: there is none."""
        with self.lock:
            return self.streams.get(name)

    def answer(self, request: dict[str, Any], sock: socket.socket) -> Reply:
        """Answers one request, or refuses it in words that fit into a packet."""
        try:
            if request.get("want") == "hello":
                return Reply(message={"hello": self.address, "instance": self.instance.hex()})
            if request.get("want") == "streams":
                return self._list_streams(request.get("after"))
            if request.get("want") == "subscribe":
                return self._admit(request, sock)
            if (other := self._others.get(str(request.get("want")))) is not None:
                return other(request)
            raise errors.HandoverError(
                f"the request {str(request.get('want'))[:64]!r} is unknown to this release"
            )
        except errors.RdmaqError as error:
            return Reply(message=_refusal(error))

    def _list_streams(self, after: Any) -> Reply:
        """A page of the list: names above `after` in order, as many as one packet holds."""
        if not isinstance(after, str):
            raise errors.HandoverError("the request for streams does not say where to begin")
        streams: list[dict[str, Any]] = []
        room_bytes = wire.PACKET_BYTES_MAX - _PACKET_SLACK_BYTES
        with self.lock:
            for name in sorted(name for name in self.streams if name > after):
                stream = _listing(self.streams[name])
                room_bytes -= _json_bytes(stream) + 2
                if streams and room_bytes < 0:
                    return Reply(message={"streams": streams, "is_whole": False})
                streams.append(stream)
        return Reply(message={"streams": streams, "is_whole": True})

    def _admit(self, request: dict[str, Any], sock: socket.socket) -> Reply:
        name, schema_text = request.get("stream"), request.get("schema")
        start, value = request.get("start"), request.get("start_value")
        if not (
            isinstance(name, str)
            and (schema_text is None or isinstance(schema_text, str))
            and isinstance(start, int)
            and isinstance(value, int)
            and 0 <= start <= lib.RQ_START_WALL_NS
            and 0 <= value < 1 << 63
        ):
            raise errors.HandoverError("the subscribe request has fields of the wrong form")
        with self.lock:
            publisher = self.streams.get(name)
            if publisher is None:
                raise self._no_such_stream(name)
            if schema_text is not None and schema_text != publisher.schema_text:
                schemas.check_wanted(schema_text, publisher.schema, name)
            return self._grant(publisher, start, value, sock)

    def _grant(self, publisher: Publisher, start: int, value: int, sock: socket.socket) -> Reply:
        # First what the system may refuse: whoever was admitted must get the grant.
        try:
            segment_fd = publisher.duplicate_segment_fd()
        except OSError as error:
            raise errors.HandoverError(
                f"stream {publisher.name!r} cannot be handed over: {error}; raise the node's "
                "limit of open files (ulimit -n)"
            ) from error
        control_fd = ffi.new("int *")
        position, sequence = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        slot = lib.rq_publisher_admit(
            publisher.handle, start, value, sock.fileno(), control_fd, position, sequence
        )
        if slot < 0:
            os.close(segment_fd)
        if slot == -errno.ENOSPC:
            raise errors.TooManyReaders(
                f"stream {publisher.name!r} has {lib.RQ_READERS_MAX} subscribers: that is its "
                "limit; close some"
            )
        if slot == -errno.ESHUTDOWN:  # closed between the look-up and here
            raise self._no_such_stream(publisher.name)
        if slot < 0:
            raise errors.HandoverError(
                f"stream {publisher.name!r} admits nobody now: {error_text(slot)}"
            )
        return Reply(
            message={"slot": slot, "position": position[0], "sequence": sequence[0]},
            descriptors=[segment_fd, control_fd[0]],
            on_gone=_dismissal(publisher, slot),
        )

    def _no_such_stream(self, name: str) -> errors.StreamNotFound:
        return refusals.no_such_stream(name, self.address, self.streams)


def _refusal(error: errors.RdmaqError) -> dict[str, Any]:
    """The error as a message; texts that are too long end in an ellipsis, lists just end."""
    message: dict[str, Any] = {
        "error": type(error).__name__,
        "text": _cut(str(error), _TEXT_BYTES_MAX),
    }
    if isinstance(error, errors.StreamNotFound | errors.RegionNotFound):
        room_bytes, names = _NAMES_BYTES_MAX, message.setdefault("available", [])
        for name in error.available:
            room_bytes -= _json_bytes(name) + 2
            if room_bytes < 0:
                break
            names.append(name)
    if isinstance(error, errors.SchemaMismatch):
        message["expected"] = _cut(error.expected, _DTYPE_BYTES_MAX)
        message["actual"] = _cut(error.actual, _DTYPE_BYTES_MAX)
    return message


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value))


def _cut(text: str, bytes_max: int) -> str:
    while _json_bytes(text) > bytes_max:
        text = text[: len(text) * bytes_max // _json_bytes(text) - 8] + "..."
    return text


def _listing(publisher: Publisher) -> dict[str, Any]:
    return {
        "name": publisher.name,
        "schema": publisher.schema_text,
        "capacity_bytes": publisher.capacity_bytes,
        "is_reliable": publisher.flow.is_reliable,
        "epoch": publisher.epoch,
        "next_sequence": publisher.next_sequence,
    }


def _dismissal(publisher: Publisher, slot: int) -> Callable[[], None]:
    def dismiss() -> None:
        lib.rq_publisher_dismiss(publisher.handle, slot)

    return dismiss
