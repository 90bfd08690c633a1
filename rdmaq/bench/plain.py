"""Python's grip on the plainest ring in C (csrc/bench/plain.c): memory, shape, and its loops."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from rdmaq._fast import ffi, lib
from rdmaq.bench.children import BenchError
from rdmaq.bench.in_c import check

_LIMIT_NS = 10_000_000_000
_SLOTS_MIN = 2
_CACHE_LINE_BYTES = 64


def make_area(stack: ExitStack, capacity_bytes: int) -> int:
    """Memory for one ring, as a descriptor that a child inherits; `stack` closes it."""
    fd = os.memfd_create("rdmaq-bench-plain", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.posix_fallocate(fd, 0, lib.rq_bench_plain_bytes(capacity_bytes))
    return fd


class PlainRing:
    """One end of a ring whose messages are all of one length.

    Args:
        fd: from `make_area`, of the same capacity; stays the caller's.
        capacity_bytes: a power of two.
        message_bytes: of each message; a slot is the next power of two, at least a cache line.
    """

    def __init__(self, fd: int, *, capacity_bytes: int, message_bytes: int) -> None:
        slot_bytes = max(_CACHE_LINE_BYTES, 1 << (message_bytes - 1).bit_length())
        self.shape = ffi.new("struct rq_bench_plain *")
        self.shape.slot_bytes = slot_bytes
        self.shape.slot_count = max(_SLOTS_MIN, capacity_bytes // slot_bytes)
        self._message_bytes = message_bytes
        if self.shape.slot_count * slot_bytes > capacity_bytes:
            raise BenchError(
                f"a batch of {message_bytes:,} bytes does not fit twice into {capacity_bytes:,}: "
                "raise --capacity or lower --batch"
            )
        area = lib.rq_bench_plain_map(fd, capacity_bytes)
        if area == ffi.NULL:
            raise BenchError(
                f"no room to map {capacity_bytes:,} bytes: {os.strerror(ffi.errno)}; "
                "lower --capacity"
            )
        self.area = ffi.gc(area, lambda area: lib.rq_bench_plain_unmap(area, capacity_bytes))

    def write(self, message: Any, count: int) -> None:
        """Sends the same bytes `count` times; waits while the ring is full."""
        args = (self.area, self.shape, ffi.from_buffer("uint8_t *", message))
        _whole(lib.rq_bench_plain_write(*args, self._message_bytes, count, _LIMIT_NS))

    def read(self, out: Any, count: int) -> None:
        """Takes `count` messages, as many at once into `out` as are there and fit."""
        pointer = ffi.from_buffer("uint8_t *", out, require_writable=True)
        args = (self.area, self.shape, pointer, memoryview(out).nbytes)
        _whole(lib.rq_bench_plain_read(*args, self._message_bytes, count, _LIMIT_NS))

    def ping(self, back: PlainRing, message: bytes, times_ns: Any) -> None:
        """Round trips: one message here, its answer on `back`; fills the uint64 array."""
        _whole(
            lib.rq_bench_plain_ping(
                self.area,
                back.area,
                self.shape,
                message,
                self._message_bytes,
                len(times_ns),
                _LIMIT_NS,
                ffi.from_buffer("uint64_t *", times_ns),
            )
        )

    def pong(self, back: PlainRing, count: int) -> None:
        """The other side of `ping`."""
        args = (self.area, back.area, self.shape, self._message_bytes, count, _LIMIT_NS)
        _whole(lib.rq_bench_plain_pong(*args))

    def close(self) -> None:
        """Unmaps; idempotent."""
        ffi.release(self.area)


def _whole(done: int) -> None:
    if check(done) == 0:
        raise BenchError("the plain ring in C stood still for 10 s: the machine is too busy; wait")
