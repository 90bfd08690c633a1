"""Publishing: the writer of one ring."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq import errors
from rdmaq._fast import error_text, ffi, lib
from rdmaq.shm import segment as segments
from rdmaq.stream import encode, refusals
from rdmaq.stream import schema as schemas
from rdmaq.stream.claim import Claim
from rdmaq.stream.flow import Flow
from rdmaq.stream.publisher_facts import PublisherFacts

_send, _send_records, _send_blocks = lib.rq_send, lib.rq_send_records, lib.rq_send_blocks


class Publisher(PublisherFacts):
    """The one writer of a stream; made by `Node.publish`.

    One thread at a time: a second one inside gets `ConcurrentUse`. A forked child cannot use it.
    No subscriber can block a lossy stream's publisher.

    Attributes:
        name: the stream's.
    """

    __slots__ = (
        "_is_inside",
        "_last_pointer",
        "_last_records",
        "_on_close",
        "_segment_fd",
        "_taken",
        "name",
        "schema_text",
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
    ) -> None:
        super().__init__()
        refusals.check_first_sequence(first_sequence)
        text = "" if dtype is None else schemas.to_text(dtype)
        self.name = name
        self.schema_text = text
        self._dtype = dtype
        self._flow = flow
        self._on_close = on_close
        self._is_inside = False
        self._last_records: Any = None
        self._last_pointer: Any = ffi.NULL
        self._taken = ffi.new("struct rq_taken *")
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

    # ---- sending ----

    def send(self, message: Any) -> int:
        """Publishes one message and returns its sequence.

        Args:
            message: untyped stream: any bytes-like object. Typed: a tuple, `np.void` or 0-d array
                that fits the dtype; a number where that has no fields. Copied; yours again when
                the call returns.

        Raises:
            MessageTooLarge: nothing was published; the text names the limit.
            SchemaError: the message is not of the stream's kind; nothing was published.
            NotEnoughReaders: reliable stream; nothing was published.
            ConcurrentUse, ClosedError: see there.
        """
        if type(message) is not bytes or self._dtype is not None:
            message = encode.payload(message, self._dtype, self.name)
        sequence: int = _send(self.handle, message, len(message))
        if sequence > 0:
            return sequence
        if sequence == 0:
            sequence = self._insist(lambda: _send(self.handle, message, len(message)), len(message))
        return self._result(sequence, len(message))

    def send_batch(self, records: npt.ArrayLike) -> int:
        """Publishes an array of records as one frame and returns the first one's sequence.

        One crossing into C, one copy. An array longer than the guard goes as several frames.

        Args:
            records: 1-D array of the stream's dtype (copied first if it is not contiguous), or what
                numpy makes one of. An empty one publishes nothing and returns the next sequence.
                The bytes are yours again when the call returns; the array object is kept until
                another one is sent, so that sending it again is cheap (and cannot be resized in
                place meanwhile).

        Raises:
            SchemaError: untyped stream, other dtype or more than one dimension.
            NotEnoughReaders: reliable stream; `.sent` records were published, the rest not.
            ConcurrentUse, ClosedError: see there.
        """
        # No call stands between test and set, so that no other thread runs between them.
        if self._is_inside:
            raise refusals.refusal(self, -errno.EBUSY, 0)
        self._is_inside = True
        try:
            return self._send_batch(records)
        finally:
            self._is_inside = False

    def _send_batch(self, records: npt.ArrayLike) -> int:
        if not (
            records is self._last_records and records.dtype is self._dtype and records.ndim == 1
        ):
            self._look_at(records)
        count = len(self._last_records)
        pointer = self._last_pointer
        sequence: int = _send_records(self.handle, pointer, count, self._taken)
        if sequence > 0:
            return sequence
        if sequence == 0 and count == 0:
            return self.next_sequence
        return self._finish(
            sequence,
            self._last_records.dtype.itemsize,
            lambda sent, sent_bytes: _send_records(
                self.handle, pointer + sent_bytes, count - sent, self._taken
            ),
        )

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
        if self._dtype is not None:
            raise errors.SchemaError(
                f"stream {self.name!r} carries records of {self._dtype}: "
                "send_many is for untyped streams; use send_batch"
            )
        if first_sequence is not None:
            refusals.check_first_sequence(first_sequence)
        if not isinstance(messages, encode.MessageBlocks):
            messages = [
                m if type(m) is bytes else encode.payload(m, None, self.name) for m in messages
            ]
        if self._is_inside:
            raise refusals.refusal(self, -errno.EBUSY, 0)
        self._is_inside = True
        try:
            if isinstance(messages, list):
                return self._send_list(messages, first_sequence)
            encode.check_blocks(messages)
            return self._send_blocks(messages.buffer, messages.count, first_sequence or 0)
        finally:
            self._is_inside = False

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

    def close(self) -> None:
        """Writes the end of the stream and wakes whoever waits; idempotent, from any thread.

        Subscribers deliver what is left and then end; the ring lives until the last of them lets
        go of it.
        """
        if self._is_closed or self._is_forked:
            return
        self._is_closed = True
        try:
            lib.rq_publisher_close(self.handle)
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

    # ---- when the gate is shut, or the call refused ------

    def _look_at(self, records: npt.ArrayLike) -> None:
        """Checks an array that `send_batch` has not seen last time, and finds its bytes."""
        array = encode.records(records, self._dtype, self.name)
        self._last_pointer = ffi.from_buffer("uint8_t *", array)
        self._last_records = array

    def _send_blocks(self, buffer: Any, count: int, first_sequence: int) -> int:
        view = memoryview(buffer)
        pointer = ffi.from_buffer("uint8_t *", buffer)
        sequence = _send_blocks(
            self.handle, pointer, view.nbytes, count, first_sequence, self._taken
        )
        if sequence > 0:
            return int(sequence)
        if sequence == 0 and count == 0:
            return self.next_sequence
        return self._finish(
            sequence,
            0,
            lambda sent, sent_bytes: _send_blocks(
                self.handle,
                pointer + sent_bytes,
                view.nbytes - sent_bytes,
                count - sent,
                0,
                self._taken,
            ),
            first_sequence,
        )

    def _send_list(self, payloads: list[Any], first_sequence: int | None) -> int:
        longest_bytes = max(map(len, payloads), default=0)
        if longest_bytes > self.message_bytes_max:
            raise refusals.too_large(self, longest_bytes)
        first = 0
        if first_sequence is not None or not payloads:
            first = self._send_blocks(b"", 0, first_sequence or 0)
        sent = 0
        for piece, count in encode.pieces(payloads, self.message_bytes_max):
            try:
                sequence = self._send_blocks(piece, count, 0) if count else self.send(piece)
            except errors.NotEnoughReaders as error:
                error.sent += sent
                raise
            first = first or sequence
            sent += count or 1
        return first

    def _finish(
        self,
        sequence: int,
        payload_bytes: int,
        send_rest: Callable[[int, int], int],
        first_sequence: int = 0,
    ) -> int:
        """Sends what is left, as often as the gate opens; returns the first sequence of all."""
        sent, sent_bytes, first = 0, 0, 0
        try:
            while sequence == 0:
                if self._taken.messages:
                    first = first or int(self._taken.sequence)
                    sent += int(self._taken.messages)
                    sent_bytes += int(self._taken.bytes)
                self._wait(self._taken.shut_out_bytes)
                sequence = send_rest(sent, sent_bytes)
        except errors.NotEnoughReaders as error:
            error.sent = sent
            raise
        finally:
            lib.rq_publisher_give_up(self.handle)
        last_sent = self._result(sequence, payload_bytes, first_sequence)  # raises, also midway
        return first or last_sent

    def _insist(self, attempt: Callable[[], int], payload_bytes: int) -> int:
        """Attempts until the gate lets it pass. Meanwhile the publisher is this thread's."""
        sequence = attempt()
        if sequence != 0:
            return sequence
        try:
            while sequence == 0:
                self._wait(payload_bytes)
                sequence = attempt()
        finally:
            lib.rq_publisher_give_up(self.handle)
        return sequence

    def _wait(self, payload_bytes: int) -> None:
        """Until the gate lets a frame of so many bytes pass. Slices, so that Ctrl-C works."""
        while True:
            code = lib.rq_publisher_wait(self.handle, payload_bytes, lib.RQ_WAIT_SLICE_NS_MAX)
            if code == 1:
                return
            if code not in (0, -errno.EINTR):
                raise refusals.refusal(self, code, payload_bytes)

    def _result(self, code: int, payload_bytes: int, first_sequence: int = 0) -> int:
        """Returns the sequence that C returned, or raises what its error means."""
        if code > 0:
            return int(code)
        raise refusals.refusal(self, code, payload_bytes, first_sequence)
