"""Publishing: the writer of one ring."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rdmaq import arguments
from rdmaq._fast import address_of, error_text, ffi, lib
from rdmaq.shm import segment as segments
from rdmaq.stream import encode, many, refusals
from rdmaq.stream import schema as schemas
from rdmaq.stream.claim import Claim
from rdmaq.stream.flow import Flow
from rdmaq.stream.publisher_facts import Links
from rdmaq.stream.sending import Sending

if TYPE_CHECKING:
    from rdmaq.verbs.link_settings import LinkSettings

_DRAIN_SECONDS, _END_SECONDS_MAX = 5.0, 1.0


class Publisher(Sending):
    """The one writer of a stream; made by `Node.publish`.

    One thread at a time: a second one inside gets `ConcurrentUse`. A forked child cannot use it.
    No subscriber can block a lossy stream's publisher.

    Attributes:
        name: the stream's.
    """

    __slots__ = (
        "__weakref__",
        "_dtype",
        "_flow",
        "_is_closed",
        "_is_forked",
        "_on_close",
        "_segment_fd",
        "_taken",
        "handle",
        "keeper",
        "link_settings",
        "linked",
        "name",
        "schema_text",
        "segment",
    )

    def __init__(
        self,
        name: str,
        dtype: np.dtype[Any] | None,
        *,
        capacity_bytes: int,
        guard_bytes: int,
        flow: Flow,
        first_sequence: int,
        on_close: Callable[[Publisher], None],
        link_settings: LinkSettings | None = None,
    ) -> None:
        super().__init__()
        refusals.check_first_sequence(first_sequence)
        text = "" if dtype is None else schemas.to_text(dtype)
        self.name = name
        self.schema_text = text
        self._dtype = dtype
        self._flow = flow
        self._on_close = on_close
        self._taken = ffi.new("struct rq_taken *")
        self.keeper: Any = None  # the node's thread, once it is offered
        self.link_settings = link_settings
        self.linked: Links | None = None  # to subscribers over verbs, once there was one
        self.segment, self._segment_fd = segments.create(
            name,
            text,
            schemas.text_hash(text) if text else 0,
            0 if dtype is None else dtype.itemsize,
            capacity_bytes=capacity_bytes,
            guard_bytes=guard_bytes,
            is_reliable=flow.is_reliable,
        )
        try:
            self._open(first_sequence)
        except BaseException:
            self.close_segment_fd()
            raise

    def _open(self, first_sequence: int) -> None:
        out = ffi.new("struct rq_publisher **")
        code = lib.rq_publisher_open(
            self.segment.pointer,
            first_sequence,
            int(self._flow.timeout_seconds * 1e9),
            self._flow.min_readers,
            out,
        )
        if code != 0:
            raise MemoryError(f"publisher of {self.name!r}: {error_text(code)}")
        self.handle = ffi.gc(out[0], lib.rq_publisher_free)
        self._bind(
            address_of(self.handle),
            address_of(self._taken),
            (self.handle, self._taken),
            self._dtype,
            0 if self._dtype is None else self._dtype.itemsize,
            self.message_bytes_max,
        )
        self._known_type = np.ndarray

    # ---- sending ----

    def send_many(
        self, messages: encode.MessageBlocks | Iterable[Any], *, first_sequence: int | None = None
    ) -> int:
        """Publishes several messages of an untyped stream as one frame; returns the first sequence.

        Args:
            messages: bytes-like objects, or `MessageBlocks`. More than the guard holds goes as
                several frames; so do messages longer than 65,535 bytes.
            first_sequence: what the first one must be. The first thing ever sent may choose; later
                it must equal `next_sequence` (declare what is missing by `send_gap` first).

        Raises:
            SequenceError: it does not follow; nothing was published.
            MessageTooLarge: one of them is; nothing was published.
            SchemaError: typed stream, or blocks that do not add up; nothing was published.
            NotEnoughReaders: reliable stream; `.sent` messages were published, the rest not.
            ConcurrentUse, ClosedError: see there.
        """
        is_list = type(messages) is list and first_sequence is None
        if is_list and (sequence := self._send_list(messages)):
            return sequence
        return many.send(self, messages, first_sequence)

    def send_gap(self, first: int, last: int) -> int:
        """Declares that sequences `first` to `last` (inclusive) were lost before they came here.

        They are consumed; every subscriber gets `Gap(first, last, cause="upstream")`.

        Raises:
            SequenceError: `first` is not the next sequence, or `last` is below it.
            NotEnoughReaders, ConcurrentUse, ClosedError: as `send`.
        """
        refusals.check_gap(first, last)
        sequence = self._insist(lambda: lib.rq_send_gap(self.handle, first, last), 16)
        return self._result(sequence, 16, first)

    def heartbeat(self) -> int:
        """Writes a frame without messages: readers learn the next sequence. Returns it.

        Raises:
            NotEnoughReaders, ConcurrentUse, ClosedError: as `send`.
        """
        return self._result(self._insist(lambda: lib.rq_send_heartbeat(self.handle), 0), 0)

    def claim(self, size: int) -> Claim:
        """Lends room in the ring itself: fill it, and it is published when the block ends.

        Use it in a `with` block, which gets a writable array of `size` records (typed stream) or a
        writable memoryview of `size` bytes (untyped: one message). It is yours inside the block
        only: writing to it later would tear what readers see. Fill all of it, for it holds old
        bytes. An exception in the block publishes nothing.

        Args:
            size: records, 1 or more; or bytes of one message, 0 or more.

        Raises:
            MessageTooLarge: more than one frame holds, or less than one record.
            ConcurrentUse: at the block's begin, and when you send within it.
            NotEnoughReaders, ClosedError: at the block's begin, as `send`.
        """
        return Claim(self, size)

    # ---- the end ----

    def close(self, *, drain: float = _DRAIN_SECONDS) -> None:
        """Writes the end of the stream and wakes whoever waits; idempotent, from any thread.

        Subscribers deliver what is left and then end; the ring lives until the last of them lets
        go of it. On other hosts they are given time to take what is still on its way, and to ask
        for the next link where the last one has failed.

        Args:
            drain: seconds of that time, none of which is spent once everything has arrived; and
                after it one more for the end itself.
        """
        drain = arguments.seconds("drain", drain)
        if self._is_closed or self._is_forked:
            return
        if self.linked is not None:  # a closed stream gives no new link to whom one has failed
            tail_bytes = int(self._counts().tail_bytes)
            self.linked.drain(tail_bytes, drain, also_failed=True)
        self._is_closed = True
        try:
            lib.rq_publisher_close(self.handle)
            if self.linked is not None:
                tail_bytes = int(self._counts().tail_bytes)
                self.linked.drain(tail_bytes, _END_SECONDS_MAX, also_failed=False)
                self.linked.close()
        finally:
            self._on_close(self)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def duplicate_segment_fd(self) -> int:
        """A descriptor of the segment, for a new subscriber."""
        return os.dup(self._segment_fd)

    def close_segment_fd(self) -> None:
        """No more subscribers. The mapping stays until publisher and arrays are gone."""
        fd, self._segment_fd = self._segment_fd, -1
        if fd >= 0:
            os.close(fd)

    def _forget(self) -> None:
        lib.rq_publisher_forget(self.handle)
        self.close_segment_fd()
