"""One reader of one segment: the C handle, and the socket that tells of death."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import SegmentError
from rdmaq.shm.segment import Segment
from rdmaq.stream.batch import Batch
from rdmaq.stream.lent import Lent

_SILENT_NS = 1_000_000_000


class Cursor:
    """Reads one epoch of a stream. Owned by a `Subscription`; batches keep it, and so the mapping.

    Args:
        segment: attached, read-only.
        dtype: of its records, or None.
        control_fd: the control page's descriptor; stays the caller's.
        grant: slot, position and sequence that the publisher gave.
        deliver_from: messages below this sequence were not asked for.
        deliver_from_ns: nor those published before this time, ns since 1970; 0: any time.
        sock: the hand-over's socket, now this object's.
        pidfd: of the publisher's process, or None; now this object's.
        wait_mode: RQ_WAIT_*.

    Raises:
        SegmentError: grant or control page fail their checks; socket and pidfd stay the caller's.
    """

    #: How the bytes come here.
    transport = "shm"

    def __init__(
        self,
        segment: Segment,
        dtype: np.dtype[Any] | None,
        control_fd: int,
        grant: tuple[int, int, int],
        *,
        deliver_from: int,
        deliver_from_ns: int,
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
        if deliver_from_ns != 0:
            lib.rq_reader_deliver_from_time(self.handle, deliver_from_ns)
        self.segment = segment
        self.dtype = dtype
        self.epoch = segment.description.epoch
        self.made_ns = time.time_ns()  # before anything can come of it
        self.sock = sock
        self.pidfd = pidfd
        self.wake_loop: Callable[[], bool] | None = None  # set while an event loop sleeps on us
        self.is_lent = False  # a view is open
        self.wait_mode = wait_mode
        self._lent: Lent | None = None
        self._pid = os.getpid()
        sock.setblocking(False)
        self._life = select.poll()
        self._life.register(sock, select.POLLIN)
        if pidfd is not None:
            self._life.register(pidfd, select.POLLIN)

    # ---- reading ----

    def lend(self, count_max: int, wait_ns: int) -> tuple[Batch | int, bytes]:
        """One crossing: a batch that is a window into the ring, until `give_back` ends it.

        Or the status (RQ_POLL_* or -errno) that says why not. With it comes the `struct rq_batch`.
        """
        if self._lent is None:
            self._lent = Lent(self.wait_mode)
        lent = self._lent
        lent.make_room(count_max)
        lent.found.last = 0  # until C tells of a gap, or of messages
        count = lib.rq_reader_borrow(self.handle, lent.poll, count_max, wait_ns)
        found, snapshot = lent.found, lent.found_bytes[:]
        if count <= 0:
            return count, snapshot
        begin = found.data_offset_bytes
        if self.dtype is not None:
            area = np.frombuffer(self.segment.view, self.dtype, count, begin)
            return Batch(self, area, snapshot, False), snapshot
        pairs = np.frombuffer(lent.offsets_bytes[: 8 * count], dtype=np.uint32).reshape(-1, 2)
        area = self.segment.data[begin : begin + int(pairs[-1, 1])]
        return BorrowedBatch(self, area, snapshot, True, pairs), snapshot

    def lent_gap(self) -> bytes | None:
        """The `struct rq_batch` of the gap that the last `lend` found; None: it found none."""
        if self._lent is None or self._lent.found.last == 0 or self._lent.found.message_count != 0:
            return None
        return bytes(self._lent.found_bytes)

    def forget_gap(self) -> None:
        """What an earlier `lend` found was told."""
        if self._lent is not None:
            self._lent.found.last = 0

    def give_back(self, *, consume: bool) -> int:
        """1: intact to the last moment; 0: overwritten meanwhile; -errno."""
        return int(lib.rq_reader_release(self.handle, consume))

    def arm(self) -> int:
        """Asks for a byte on the socket. 1: there is something already; 0: armed; -errno."""
        return int(lib.rq_reader_arm(self.handle))

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

    @property
    def silent_ns(self) -> int:
        """Without a heartbeat for so long its publisher is silent."""
        return _SILENT_NS

    @property
    def obituary(self) -> str:
        """Why the publisher does not live, in words."""
        return "its process ended without closing the stream"

    def take_news(self) -> list[tuple[str, str, int]]:
        """Kind, words and time of what became of the way here since the last call."""
        return []

    def carried(self) -> dict[str, int]:
        """Counts of the way here, by the names of `SubscriptionStats`."""
        return {}

    def negotiated(self) -> dict[str, str | int]:
        """What was agreed on with the publisher's side."""
        return {"transport": self.transport}

    def wall_ns(self, ticks: int) -> int:
        """Wall-clock time of a publisher's tick, by its own table; 0: unknown (or forked)."""
        if os.getpid() != self._pid:
            return 0  # the table's memory is not here
        return int(lib.rq_reader_wall_ns(self.handle, ticks))

    def counts(self) -> Any:
        """The `struct rq_reader_stats` of this moment."""
        counts = ffi.new("struct rq_reader_stats *")
        lib.rq_reader_read_stats(self.handle, counts)
        return counts

    def close(self) -> None:
        """Wakes who waits inside: a thread is out when this returns; an event loop hangs up itself.

        The loop watches the descriptors, so it must let go of them before they are closed.
        """
        lib.rq_reader_close(self.handle)
        wake_loop = self.wake_loop
        if wake_loop is None or not wake_loop():
            self.hang_up()

    def hang_up(self) -> None:
        """Closes socket and pidfd: all that may be done in a forked child."""
        with suppress(OSError):
            self.sock.close()
        pidfd, self.pidfd = self.pidfd, None
        if pidfd is not None:
            with suppress(OSError):
                os.close(pidfd)

    def __del__(self) -> None:
        if hasattr(self, "_life"):  # else the constructor raised: they are the caller's
            self.hang_up()

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
