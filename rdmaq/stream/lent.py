"""What C writes about a batch that it lends, and the `struct rq_poll` that tells it where."""

from __future__ import annotations

from rdmaq._fast import ffi


class Lent:
    """Memory for the answers of `rq_reader_borrow`; a batch that was lent is one frame at most.

    Attributes:
        poll: `struct rq_poll *` for C; what it points to lives as long as this object.
        found: its `batch`, which C fills in.
        found_bytes: the same as a buffer, for a snapshot.
        offsets_bytes: two uint32 a message of an untyped stream: begin and end.
    """

    __slots__ = ("_count_max", "_note", "_offsets", "found", "found_bytes", "offsets_bytes", "poll")

    def __init__(self, wait_mode: int) -> None:
        self.poll = ffi.new("struct rq_poll *")
        self.poll.wait_mode = wait_mode
        self._note = ffi.new("struct rq_frame_note *")
        self.poll.notes = self._note
        self.poll.note_count_max = 1
        self.found = self.poll.batch
        self.found_bytes = ffi.buffer(ffi.addressof(self.poll, "batch"))
        self._count_max = 0

    def make_room(self, count_max: int) -> None:
        """For so many messages at least."""
        if count_max <= self._count_max:
            return
        self._offsets = ffi.new("uint32_t[]", 2 * count_max)
        self.offsets_bytes = ffi.buffer(self._offsets)
        self.poll.offsets = self._offsets
        self._count_max = count_max
