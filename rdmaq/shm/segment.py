"""Python's side of a segment: who owns the mapping, and numpy's windows into it."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rdmaq._fast import error_text, ffi, lib
from rdmaq.errors import CapacityError, MessageTooLarge, SegmentError

_INDEX_ENTRY_BYTES = 32  # csrc/ring/layout.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the descriptor at the segment's beginning says (csrc/include/rdmaq_abi.h)."""

    name: str
    schema_text: str  # "" for an untyped stream
    schema_hash: int
    record_bytes: int  # 0: untyped
    epoch: int
    capacity_bytes: int
    guard_bytes: int
    message_bytes_max: int
    is_reliable: bool
    publisher_pid: int
    live_offset_bytes: int
    live_bytes: int
    index_end_bytes: int
    data_offset_bytes: int


class Segment:
    """One mapping of one segment, unmapped when the last array into it has died.

    Attributes:
        data: uint8 array over the data area, mapped twice: `2 * capacity_bytes` long. Read-only
            for everybody but the publisher.
        view: the same as a memoryview.
    """

    __slots__ = ("_data_pointer", "data", "description", "pointer", "view")

    def __init__(self, pointer: Any, description: Description, *, is_writable: bool) -> None:
        self.pointer = pointer
        self.description = description
        # The destructor hangs on the very pointer that ffi.buffer, and so every array, holds.
        self._data_pointer = ffi.gc(
            lib.rq_segment_data(pointer), lambda _, segment=pointer: lib.rq_segment_free(segment)
        )
        buffer = ffi.buffer(self._data_pointer, 2 * description.capacity_bytes)
        self.view = memoryview(buffer) if is_writable else memoryview(buffer).toreadonly()
        self.data: npt.NDArray[np.uint8] = np.frombuffer(self.view, dtype=np.uint8)

    def live(self) -> Any:
        """A buffer over the live words, for a NIC; good as long as this object is."""
        described = self.description
        begin = self._data_pointer - described.data_offset_bytes + described.live_offset_bytes
        return ffi.buffer(begin, described.live_bytes)

    def told(self) -> memoryview:
        """Live words, gap ledger and index, read-only: what tells a reader about the data."""
        described = self.description
        begin = self._data_pointer - described.data_offset_bytes + described.live_offset_bytes
        size_bytes = described.index_end_bytes - described.live_offset_bytes
        return memoryview(ffi.buffer(begin, size_bytes)).toreadonly()


def host_id() -> bytes:
    """16 bytes that tell this boot of this kernel from any other."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return bytes.fromhex(text.replace("-", ""))


def create(
    name: str,
    schema_text: str,
    schema_hash: int,
    record_bytes: int,
    *,
    capacity_bytes: int,
    guard_bytes: int,
    is_reliable: bool,
    epoch: int | None = None,
) -> tuple[Segment, int]:
    """Makes a segment of this process's own; returns it and its descriptor (the caller closes it).

    `epoch` is the stream's where the segment is a replica of it; None: it begins now.

    Raises:
        CapacityError: capacity or guard are impossible, or memory for them is not to be had.
        MessageTooLarge: one record does not fit into the guard.
    """
    descriptor = ffi.new("struct rq_descriptor *")
    # More than 64 bits would not even reach C's checks.
    if not 0 <= capacity_bytes < 1 << 63 or not 0 <= guard_bytes < 1 << 63:
        raise _capacity_error(capacity_bytes, guard_bytes)
    code = lib.rq_descriptor_init(descriptor, capacity_bytes, guard_bytes, record_bytes)
    if code == -errno.EMSGSIZE:
        raise MessageTooLarge(
            f"records of {record_bytes:,} bytes do not fit: the largest here is "
            f"{descriptor.message_bytes_max:,} bytes (guard less header); "
            "raise capacity (and with it guard, an eighth of it up to 1 MiB) or guard"
        )
    if code != 0:
        raise _capacity_error(capacity_bytes, guard_bytes)
    descriptor.epoch = time.time_ns() if epoch is None else epoch
    descriptor.schema_hash = schema_hash
    descriptor.publisher_pid = os.getpid()
    descriptor.is_reliable = is_reliable
    ffi.memmove(descriptor.host_id, host_id(), 16)
    for text, field, room_bytes in (
        (name.encode(), "name", lib.RQ_NAME_BYTES_MAX),
        (schema_text.encode(), "schema", lib.RQ_SCHEMA_BYTES_MAX),
    ):
        if len(text) > room_bytes:
            raise CapacityError(
                f"the stream's {field} takes {len(text):,} bytes: "
                f"the descriptor has room for {room_bytes:,}; make it shorter"
            )
        ffi.memmove(getattr(descriptor, field), text, len(text))
        setattr(descriptor, f"{field}_bytes", len(text))
    check_memory(descriptor.segment_bytes, "a ring")
    segment_out, fd_out = ffi.new("struct rq_segment **"), ffi.new("int *")
    code = lib.rq_segment_create(descriptor, segment_out, fd_out)
    if code != 0:
        raise CapacityError(
            f"no memory for a ring of {capacity_bytes:,} bytes: {error_text(code)}; "
            "use a smaller capacity, or free shared memory (see `free` and the memory cgroup)"
        )
    return Segment(segment_out[0], _describe(descriptor), is_writable=True), fd_out[0]


def check_memory(wanted_bytes: int, what: str) -> None:
    """Refuses what is certainly too much: the kernel would end processes to make room for it.

    Raises:
        CapacityError: so much is not available.
    """
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available_bytes = int(line.split()[1]) * 1024
            if wanted_bytes > available_bytes:
                raise CapacityError(
                    f"no memory for {what} of {wanted_bytes:,} bytes: {available_bytes:,} are "
                    "available; use a smaller one, or free memory"
                )


def attach(fd: int) -> Segment:
    """Checks a stranger's segment and maps it read-only. The descriptor stays the caller's.

    Raises:
        SegmentError: a seal is missing, or size and descriptor do not hold what they must.
    """
    segment_out = ffi.new("struct rq_segment **")
    descriptor = ffi.new("struct rq_descriptor *")
    code = lib.rq_segment_attach(fd, segment_out, descriptor)
    if code == -errno.EPROTONOSUPPORT:
        raise SegmentError(
            f"the segment has format version {descriptor.format_version}: this rdmaq reads "
            f"version {lib.RQ_FORMAT_VERSION}; run the same release on both sides"
        )
    if code != 0:
        raise SegmentError(
            f"what the peer handed over is no usable segment: {error_text(code)}; "
            "it was not mapped; is the peer really an rdmaq node?"
        )
    # From here the mapping has an owner, whatever the texts may hold.
    return Segment(segment_out[0], _describe(descriptor), is_writable=False)


def _describe(descriptor: Any) -> Description:
    def text(field: str) -> str:
        size_bytes = getattr(descriptor, f"{field}_bytes")
        return bytes(ffi.buffer(getattr(descriptor, field), size_bytes)).decode("utf-8", "replace")

    return Description(
        name=text("name"),
        schema_text=text("schema"),
        schema_hash=descriptor.schema_hash,
        record_bytes=descriptor.record_bytes,
        epoch=descriptor.epoch,
        capacity_bytes=descriptor.capacity_bytes,
        guard_bytes=descriptor.guard_bytes,
        message_bytes_max=descriptor.message_bytes_max,
        is_reliable=bool(descriptor.is_reliable),
        publisher_pid=descriptor.publisher_pid,
        live_offset_bytes=descriptor.live_offset_bytes,
        live_bytes=descriptor.ledger_offset_bytes - descriptor.live_offset_bytes,
        index_end_bytes=descriptor.index_offset_bytes
        + descriptor.capacity_bytes // descriptor.index_stride_bytes * _INDEX_ENTRY_BYTES,
        data_offset_bytes=descriptor.data_offset_bytes,
    )


def _capacity_error(capacity_bytes: int, guard_bytes: int) -> CapacityError:
    low, high = lib.RQ_CAPACITY_BYTES_MIN, lib.RQ_CAPACITY_BYTES_MAX
    if not low <= capacity_bytes <= high or capacity_bytes & (capacity_bytes - 1):
        near = min(max(1 << max(capacity_bytes - 1, 1).bit_length(), low), high)
        return CapacityError(
            f"capacity {capacity_bytes:,} bytes: it must be a power of two from 64 KiB to 1 TiB; "
            f"the next one is {near:,}"
        )
    return CapacityError(
        f"guard {guard_bytes:,} bytes: it must be a multiple of 32 from "
        f"{lib.RQ_GUARD_BYTES_MIN:,} to a quarter of the capacity ({capacity_bytes // 4:,}); "
        "leave it out for the default"
    )
