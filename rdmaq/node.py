"""The publishing side: a node offers streams at an address."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Collection
from typing import Any

import numpy.typing as npt

from rdmaq import errors
from rdmaq._fast import error_text, ffi, lib, parse_bytes
from rdmaq._handle import Handle
from rdmaq.address import check_stream_name, local_name
from rdmaq.shm import wire
from rdmaq.shm.listener import Listener, Reply
from rdmaq.stream import schema as schemas
from rdmaq.stream.flow import Flow, lossy
from rdmaq.stream.publisher import Publisher

_PACKET_SLACK_BYTES = 256  # of a page of streams: what stands around them


class Node(Handle):
    """Offers streams at an address until it is closed.

    Args:
        address: `local:NAME`: found by processes of this host that share the runtime folder
            ($RDMAQ_RUNTIME_DIR, else $XDG_RUNTIME_DIR/rdmaq, else /tmp/rdmaq-UID).
        allow_uids: users who may connect besides the one this process runs as.

    Attributes:
        address: as given.

    Raises:
        AddressError: it is not of that form, or the socket's path would be too long.
        AddressInUse: another living process is the node of that name.
        AccessDenied: the runtime folder or the name's lock belongs to another user.
        UnsupportedTransport: a host and port, which this release does not serve.
    """

    __slots__ = ("_keeper", "_listener", "_lock", "_streams", "address")

    def __init__(self, address: str, *, allow_uids: Collection[int] = ()) -> None:
        super().__init__()
        name = local_name(address)
        self.address = address
        self._streams: dict[str, Publisher] = {}
        self._lock = threading.Lock()  # the streams: user's threads and the listener's
        self._keeper: Any = None
        self._listener = Listener(name, self._answer, allow_uids=frozenset(allow_uids))

    def publish(
        self,
        name: str,
        schema: npt.DTypeLike | None = None,
        *,
        capacity: int | str = "16MiB",
        guard: int | str | None = None,
        flow: Flow | None = None,
        first_sequence: int = 1,
    ) -> Publisher:
        """Makes a stream and offers it.

        Args:
            name: 1 to 192 bytes of text, unique in the node.
            schema: numpy dtype of the records; None: an untyped stream of byte strings.
            capacity: bytes of the ring, a power of two from 64 KiB to 1 TiB, as a number or as
                text ("64KiB"): how far subscribers may fall behind. All of it is allocated here
                and now.
            guard: the longest frame in bytes, header included; a multiple of 32 from 4 KiB to a
                quarter of the capacity. Default: an eighth, at most 1 MiB. Capacity less guard is
                what holds messages.
            flow: `lossy()` (default) or `reliable(...)`.
            first_sequence: of the first message, 1 or more.

        Raises:
            AddressError: no name for a stream; nothing was offered, as after each of these.
            StreamExists: the node offers one of that name.
            CapacityError: no ring can have that capacity or guard, or there is no memory for it.
            SchemaError: records of that dtype cannot be shared.
            MessageTooLarge: one record is longer than the guard.
            SequenceError: `first_sequence` is below 1.
            ClosedError: the node is closed.
        """
        check_stream_name(name)
        try:
            capacity_bytes = parse_bytes(capacity)
            guard_bytes = 0 if guard is None else parse_bytes(guard)
        except ValueError as error:
            raise errors.CapacityError(
                f"{error}: write bytes as a number, or a power of two such as '64KiB' or '16MiB'"
            ) from error
        dtype = None if schema is None else schemas.check_dtype(schema)
        if self._is_forked:
            raise self.closed_error()  # the lock may be held by a thread of the parent's
        with self._lock:
            self._check_free(name)
        # Not under the lock: a large ring takes seconds to make, and the listener needs the lock.
        publisher = Publisher(
            name,
            dtype,
            capacity_bytes=capacity_bytes,
            guard_bytes=guard_bytes,
            flow=lossy() if flow is None else flow,
            first_sequence=first_sequence,
            on_close=self._withdraw,
        )
        try:
            with self._lock:
                self._check_free(name)
                self._streams[name] = publisher
                self._keep(publisher)
        except BaseException:
            publisher.close()
            raise
        return publisher

    def _check_free(self, name: str) -> None:
        if self.closed:
            raise self.closed_error()
        if name in self._streams:
            raise errors.StreamExists(
                f"stream {name!r} is published at {self.address} already: close it first, or "
                "use another name"
            )

    def close(self) -> None:
        """Closes every stream and the address; idempotent. Subscribers drain what is left."""
        if self._is_forked:
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            streams = list(self._streams.values())
        for publisher in streams:
            publisher.close()
        self._listener.close()
        with self._lock:
            keeper, self._keeper = self._keeper, None
        if keeper is not None:
            lib.rq_keeper_stop(keeper)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        if not self._is_closed:  # else its descriptors' numbers are somebody else's by now
            self._listener.forget()

    # ---- heartbeats ------

    def _keep(self, publisher: Publisher) -> None:
        if self._keeper is None:
            out = ffi.new("struct rq_keeper **")
            code = lib.rq_keeper_start(out)
            if code != 0:
                raise RuntimeError(f"the node's thread cannot be started: {error_text(code)}")
            self._keeper = out[0]
        lib.rq_keeper_add(self._keeper, publisher.handle)

    def _withdraw(self, publisher: Publisher) -> None:
        """A closed publisher: no heartbeats, no new subscribers; the old ones keep their slots."""
        with self._lock:
            if self._streams.get(publisher.name) is publisher:
                del self._streams[publisher.name]
            if self._keeper is not None:
                lib.rq_keeper_remove(self._keeper, publisher.handle)
        publisher.close_segment_fd()

    # ---- answering subscribers (on the listener's thread) ------

    def _answer(self, request: dict[str, Any], sock: socket.socket) -> Reply:
        try:
            if request.get("want") == "hello":
                return Reply(message={"hello": self.address})
            if request.get("want") == "streams":
                return self._list_streams(request.get("after"))
            if request.get("want") == "subscribe":
                return self._admit(request, sock)
            raise errors.HandoverError(
                f"the request {str(request.get('want'))[:64]!r} is unknown to this release"
            )
        except errors.RdmaqError as error:
            message = {"error": type(error).__name__, "text": str(error)}
            for attribute in ("available", "expected", "actual"):
                if hasattr(error, attribute):
                    message[attribute] = getattr(error, attribute)
            return Reply(message=message)

    def _list_streams(self, after: Any) -> Reply:
        """A page of the list: names above `after` in order, as many as one packet holds."""
        if not isinstance(after, str):
            raise errors.HandoverError("the request for streams does not say where to begin")
        streams: list[dict[str, Any]] = []
        room_bytes = wire.PACKET_BYTES_MAX - _PACKET_SLACK_BYTES
        with self._lock:
            for name in sorted(name for name in self._streams if name > after):
                stream = _listing(self._streams[name])
                room_bytes -= len(json.dumps(stream)) + 2
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
        with self._lock:
            publisher = self._streams.get(name)
            if publisher is None:
                raise self._no_such_stream(name)
            if schema_text is not None and schema_text != publisher.schema_text:
                _check_schema(publisher, schema_text)
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
        offered = sorted(self._streams)
        words = ", ".join(repr(n) for n in offered[:20]) or "none"
        return errors.StreamNotFound(
            f"no stream {name[:200]!r} at {self.address}: it offers {words}; check the name, or "
            "pass timeout= seconds to wait for it",
            available=offered[:200],
        )


def _listing(publisher: Publisher) -> dict[str, Any]:
    return {
        "name": publisher.name,
        "schema": publisher.schema_text,
        "capacity_bytes": publisher.capacity_bytes,
        "is_reliable": publisher.flow.is_reliable,
        "epoch": publisher.epoch,
        "next_sequence": publisher.next_sequence,
    }


def _check_schema(publisher: Publisher, wanted_text: str) -> None:
    """Texts may differ where dtypes are equal, so the dtypes decide."""
    wanted = None if wanted_text == "" else schemas.from_text(wanted_text)
    if wanted == publisher.schema:
        return
    expected, actual = str(wanted or "untyped"), str(publisher.schema or "untyped")
    raise errors.SchemaMismatch(
        f"stream {publisher.name!r} carries {actual}, the subscriber expects {expected}: "
        "subscribe with the stream's dtype, or without one to take it as it is",
        expected=expected,
        actual=actual,
    )


def _dismissal(publisher: Publisher, slot: int) -> Callable[[], None]:
    def dismiss() -> None:
        lib.rq_publisher_dismiss(publisher.handle, slot)

    return dismiss
