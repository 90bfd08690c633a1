"""Memory that C copies batches into, and the `struct rq_poll` that tells C about it."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdmaq._fast import ffi

NOTES_MAX = 4096
_SCRATCH_BYTES_MIN = 4096
_SCRATCH_BYTES_UNTYPED = 256 << 10
_SCRATCH_BYTES_TYPED_MAX = 4 << 20


class Buffers:
    """What one way of reading needs: payload, offsets, frame notes and the answer.

    Attributes:
        poll: `struct rq_poll *` for C; what it points to lives as long as this object.
        found: its `batch`, which C fills in.
        found_bytes: the same as a buffer, for a snapshot.
        payload_bytes: the payload area as a buffer.
    """

    __slots__ = (
        "_dtype",
        "_into",
        "_notes",
        "_offsets",
        "_scratch",
        "count_max",
        "found",
        "found_bytes",
        "notes_bytes",
        "offsets_bytes",
        "payload_bytes",
        "poll",
    )

    def __init__(self, dtype: np.dtype[Any] | None, wait_mode: int) -> None:
        self._dtype = dtype
        self.poll = ffi.new("struct rq_poll *")
        self.poll.wait_mode = wait_mode
        self._notes = ffi.new("struct rq_frame_note[]", NOTES_MAX)
        self.notes_bytes = ffi.buffer(self._notes)
        self.poll.notes = self._notes
        self.poll.note_count_max = NOTES_MAX
        self.found = self.poll.batch
        self.found_bytes = ffi.buffer(ffi.addressof(self.poll, "batch"))
        self.count_max = 0
        self._into: Any = None

    def make_offsets(self, count: int) -> None:
        """Room for `count` offsets of an untyped stream's messages."""
        self._offsets = ffi.new("uint32_t[]", count)
        self.offsets_bytes = ffi.buffer(self._offsets)
        self.poll.offsets = self._offsets

    def make_scratch(self, count_max: int, bytes_min: int = _SCRATCH_BYTES_MIN) -> None:
        """Room for up to `count_max` messages, at least `bytes_min` bytes of payload."""
        self.count_max = count_max
        if self._dtype is None:
            self.make_offsets(count_max + 1)
            self._scratch = np.empty(max(_SCRATCH_BYTES_UNTYPED, bytes_min), dtype=np.uint8)
        else:
            record_bytes = self._dtype.itemsize
            wanted_bytes = min(count_max * record_bytes, _SCRATCH_BYTES_TYPED_MAX)
            record_count = -(-max(wanted_bytes, bytes_min) // record_bytes)
            self._scratch = np.empty(record_count, dtype=self._dtype)
        self._point_at(self._scratch)

    def take_records(self, count: int) -> Any:
        """The first records of the scratch as a read-only array of its own.

        Large batches go with their buffer when they fill most of it: one copy, not two.
        """
        if 2 * count >= len(self._scratch):
            records = self._scratch[:count]
            self._scratch = np.empty(len(self._scratch), dtype=self._dtype)
            self._point_at(self._scratch)
        else:
            records = self._scratch[:count].copy()
        records.flags.writeable = False
        return records

    def use(self, into: Any, count_max: int) -> None:
        """Points C at the user's own buffer; kept until another one is used.

        Raises:
            ValueError: it is not writable and contiguous, or (typed) of another dtype.
        """
        if into is not self._into:
            is_list = isinstance(into, np.ndarray) and into.ndim == 1
            if self._dtype is not None and not (is_list and into.dtype == self._dtype):
                raise ValueError(
                    f"into= must be a 1-D array of the stream's dtype {self._dtype}: "
                    "make one by np.empty(count, sub.schema)"
                )
            try:
                view = np.frombuffer(into, dtype=np.uint8)
                self._point_at(view)
            except (BufferError, TypeError, ValueError) as error:
                raise ValueError(
                    f"into= cannot be written to: {error}; give a writable contiguous array or "
                    "bytearray"
                ) from error
            self._scratch = view if self._dtype is None else into
            self._into = into
        if count_max > self.count_max:
            self.count_max = count_max
            if self._dtype is None:
                self.make_offsets(count_max + 1)

    def taken_into(self, count: int) -> Any:
        """The part of the user's buffer that the last poll filled with `count` messages."""
        return self._scratch[: self.found.payload_bytes if self._dtype is None else count]

    def _point_at(self, area: Any) -> None:
        out = ffi.from_buffer("uint8_t *", area, require_writable=True)
        self.payload_bytes = ffi.buffer(out, area.nbytes)
        self.poll.out = out
        self.poll.out_bytes = area.nbytes
