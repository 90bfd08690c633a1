"""One reader of one segment: the C handle, its buffers, and the socket that tells of death."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import Any

import numpy as np

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import SegmentError
from rdmaq.shm.segment import Segment
from rdmaq.stream.batch import Batch, Gap, GapBatch

_poll = lib.rq_reader_poll
_MESSAGES = lib.RQ_POLL_MESSAGES
_CAUSES = {lib.RQ_CAUSE_UPSTREAM: "upstream", lib.RQ_CAUSE_OVERRUN: "overrun"}

NOTES_MAX = 4096
_SCRATCH_BYTES_MIN = 4096
_SCRATCH_BYTES_UNTYPED = 256 << 10
_SCRATCH_BYTES_TYPED_MAX = 4 << 20
_COPY_OUT_BYTES_MAX = 8192


class Cursor:
    """Reads one epoch of a stream. Owned by a `Subscription`; batches keep it, and so the mapping.

    Args:
        segment: attached, read-only.
        dtype: of its records, or None.
        control_fd: the control page's descriptor; stays the caller's.
        grant: slot, position and sequence that the publisher gave.
        deliver_from: messages below this sequence were not asked for.
        sock: the hand-over's socket, now this object's.
        pidfd: of the publisher's process, or None; now this object's.
        wait_mode: RQ_WAIT_*.

    Raises:
        SegmentError: grant or control page fail their checks; socket and pidfd stay the caller's.
    """

    def __init__(
        self,
        segment: Segment,
        dtype: np.dtype[Any] | None,
        control_fd: int,
        grant: tuple[int, int, int],
        *,
        deliver_from: int,
        sock: socket.socket,
        pidfd: int | None,
        wait_mode: int,
    ) -> None:
        out = ffi.new("struct rq_reader **")
        code = lib.rq_reader_open(segment.pointer, control_fd, *grant, deliver_from, out)
        if code != 0:
            raise SegmentError(
                f"the publisher's grant {grant} or its control page cannot be used: "
                f"{error_text(code)}; is the peer really an rdmaq node?"
            )
        self.handle = ffi.gc(out[0], lib.rq_reader_free)
        self.segment = segment
        self.dtype = dtype
        self.epoch = segment.description.epoch
        self.sock = sock
        self.pidfd = pidfd
        self._wait_mode = wait_mode
        self._found = ffi.new("struct rq_batch *")
        self._found_bytes = ffi.buffer(self._found)
        self._notes = ffi.new("struct rq_frame_note[]", NOTES_MAX)
        self._notes_bytes = ffi.buffer(self._notes)
        self._count_max = 0
        self._out_bytes_min = _SCRATCH_BYTES_MIN
        self._into: Any = None
        sock.setblocking(False)
        self._life = select.poll()
        self._life.register(sock, select.POLLIN)
        if pidfd is not None:
            self._life.register(pidfd, select.POLLIN)

    # ---- reading ----

    def take(self, count_max: int, wait_ns: int, into: Any) -> Batch | int:
        """One crossing: a batch, or the status (RQ_POLL_* or -errno) that says why not."""
        if count_max > self._count_max:
            self._make_room(count_max)
        if into is not None:
            return self._take_into(count_max, wait_ns, into)
        found = self._found
        status: int = _poll(
            self.handle,
            self._out,
            self._out_bytes,
            count_max,
            self._offsets,
            self._notes,
            NOTES_MAX,
            self._wait_mode,
            wait_ns,
            found,
        )
        if status != _MESSAGES:
            return status
        payload_bytes = found.payload_bytes
        if payload_bytes <= _COPY_OUT_BYTES_MAX or self.dtype is None:
            return self._batch(self._out_buffer[:payload_bytes])
        return self._batch(self._give_scratch(payload_bytes))

    def _batch(self, payload: Any) -> Batch:
        found = self._found
        count = found.message_count
        frames = found.frame_count
        return Batch(
            self,
            found.sequence,
            count,
            payload,
            self._offsets_bytes[: 4 * count + 4] if count > 1 and self.dtype is None else None,
            self._found_bytes[:],
            self._notes_bytes[: 16 * frames] if frames > 1 else None,
        )

    def gap(self) -> GapBatch:
        """The gap that the last `take` or `lend` answered with (RQ_POLL_GAP)."""
        found = self._found
        gap = Gap(found.sequence, found.last, _CAUSES.get(found.cause, "overrun"), self.epoch)
        return GapBatch(self, gap, self._found_bytes[:])

    @property
    def cut_off_reason(self) -> int:
        """RQ_CUT_* after RQ_POLL_CUT_OFF."""
        return int(self._found.cause)

    def grow(self) -> None:
        """Makes room for the message that the last `take` found too large (RQ_POLL_TOO_SMALL)."""
        self._out_bytes_min = max(self._out_bytes_min, int(self._found.payload_bytes))
        self._make_room(self._count_max)

    def lend(self, count_max: int, wait_ns: int) -> Batch | int:
        """As `take`, but the batch is a window into the ring; `give_back` ends it."""
        if count_max > self._count_max:
            self._make_room(count_max)
        found = self._found
        status: int = lib.rq_reader_borrow(
            self.handle, count_max, self._pairs, self._notes, self._wait_mode, wait_ns, found
        )
        if status != _MESSAGES:
            return status
        begin, count = found.data_offset_bytes, found.message_count
        if self.dtype is not None:
            area = self.segment.data[begin : begin + found.payload_bytes].view(self.dtype)
            return self._batch(area)
        pairs = np.frombuffer(self._pairs_bytes[: 8 * count], dtype=np.uint32).reshape(-1, 2)
        area = self.segment.data[begin : begin + (int(pairs[-1, 1]) if count else 0)]
        return BorrowedBatch(self, found.sequence, count, area, pairs, self._found_bytes[:], None)

    def give_back(self, *, consume: bool) -> int:
        """1: intact to the last moment; 0: overwritten meanwhile; -errno."""
        return int(lib.rq_reader_release(self.handle, consume))

    def arm(self) -> int:
        """Asks for a byte on the socket. 1: there is something already; 0: armed; -errno."""
        return int(lib.rq_reader_arm(self.handle))

    # ---- buffers ----

    def _make_room(self, count_max: int) -> None:
        self._count_max = count_max
        self._offsets = ffi.new("uint32_t[]", count_max + 1) if self.dtype is None else ffi.NULL
        if self.dtype is None:
            self._offsets_bytes = ffi.buffer(self._offsets)
        self._pairs = ffi.new("uint32_t[]", 2 * count_max)
        self._pairs_bytes = ffi.buffer(self._pairs)
        self._new_scratch()

    def _new_scratch(self) -> None:
        if self.dtype is None:
            size_bytes = max(_SCRATCH_BYTES_UNTYPED, self._out_bytes_min)
        else:
            wanted = min(self._count_max * self.dtype.itemsize, _SCRATCH_BYTES_TYPED_MAX)
            size_bytes = max(wanted, self._out_bytes_min, self.dtype.itemsize)
        self._scratch = np.empty(size_bytes, dtype=np.uint8)
        self._out = ffi.from_buffer("uint8_t *", self._scratch)
        self._out_buffer = ffi.buffer(self._out, size_bytes)
        self._out_bytes = size_bytes

    def _give_scratch(self, payload_bytes: int) -> Any:
        """Large batches go with their buffer when they fill most of it: one copy, not two."""
        if 2 * payload_bytes >= self._out_bytes:
            records = self._scratch[:payload_bytes]
            self._new_scratch()
        else:
            records = self._scratch[:payload_bytes].copy()
        records.flags.writeable = False
        return records.view(self.dtype)

    def _take_into(self, count_max: int, wait_ns: int, into: Any) -> Batch | int:
        """Copies straight into the user's array, which must outlast the batch's use."""
        if into is not self._into:
            self._into_out = ffi.from_buffer("uint8_t *", into, require_writable=True)
            self._into_view = np.frombuffer(into, dtype=np.uint8)
            self._into = into
        status: int = _poll(
            self.handle,
            self._into_out,
            self._into_view.nbytes,
            count_max,
            self._offsets,
            self._notes,
            NOTES_MAX,
            self._wait_mode,
            wait_ns,
            self._found,
        )
        if status != _MESSAGES:
            return status
        payload = self._into_view[: self._found.payload_bytes]
        return self._batch(payload if self.dtype is None else payload.view(self.dtype))

    # ---- the other side ------

    def publisher_lives(self) -> bool:
        """False once the socket hung up or the publisher's process ended."""
        return all(fd != self.pidfd and self.drain() for fd, _ in self._life.poll(0))

    def drain(self) -> bool:
        """Takes wake bytes off the socket. False: it hung up."""
        try:
            return self.sock.recv(64) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def wall_ns(self, ticks: int) -> int:
        """Wall-clock time of a publisher's tick, by its own table; 0: unknown."""
        return int(lib.rq_reader_wall_ns(self.handle, ticks))

    def counts(self) -> Any:
        """The `struct rq_reader_stats` of this moment."""
        counts = ffi.new("struct rq_reader_stats *")
        lib.rq_reader_read_stats(self.handle, counts)
        return counts

    def close(self) -> None:
        """Wakes the thread inside, waits until it is out, and hangs up."""
        lib.rq_reader_close(self.handle)
        self.hang_up()

    def hang_up(self) -> None:
        """Closes socket and pidfd: all that may be done in a forked child."""
        with suppress(OSError):
            self.sock.close()
        if self.pidfd is not None:
            with suppress(OSError):
                os.close(self.pidfd)
            self.pidfd = None

    def forget(self) -> None:
        """In a forked child."""
        lib.rq_reader_forget(self.handle)
        self.hang_up()


class BorrowedBatch(Batch):
    """Messages of an untyped stream as memoryviews into the ring, each behind its length prefix."""

    __slots__ = ()

    @property
    def messages(self) -> list[Any]:
        """Read-only memoryviews into the ring: valid until the view is given back."""
        view = memoryview(self._payload)
        return [view[a:b] for a, b in self._offsets.tolist()]

    @property
    def offsets(self) -> Any:
        """Shape (len, 2): begin and end of each message within `data`, in bytes."""
        return self._offsets
