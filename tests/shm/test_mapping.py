"""The segment as the kernel sees it: mapped twice, sealed, and read-only for subscribers."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import rdmaq

CAPACITY_BYTES = 1 << 20
DATA_OFFSET_BYTES = 2 << 20  # of a segment this small: data begins on 2 MiB (format version 1)

_LINE = re.compile(
    r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) (\S+) (\d+)\s+/memfd:rdmaq-segment \(deleted\)"
)


@dataclass(frozen=True)
class Mapping:
    begin: int
    end: int
    protection: str
    offset_bytes: int
    inode: int


def mappings() -> list[Mapping]:
    found = _LINE.findall(Path("/proc/self/maps").read_text())
    return [
        Mapping(int(begin, 16), int(end, 16), protection, int(offset, 16), int(inode))
        for begin, end, protection, offset, _, inode in found
    ]


@pytest.fixture
def pair() -> Iterator[tuple[rdmaq.Publisher, rdmaq.Subscription]]:
    with (
        rdmaq.Node("local:maps") as node,
        node.publish("s", "<u8", capacity=CAPACITY_BYTES) as pub,
        rdmaq.connect("local:maps") as peer,
        peer.subscribe("s") as sub,
    ):
        yield pub, sub


def data_halves(pub: rdmaq.Publisher, protection: str) -> tuple[Mapping, Mapping]:
    """The two mappings of the publisher's data area with that protection."""
    fd = pub.duplicate_segment_fd()
    inode = os.fstat(fd).st_ino
    os.close(fd)
    parts = [m for m in mappings() if m.protection == protection and m.inode == inode]
    second = next(m for m in parts if m.offset_bytes == DATA_OFFSET_BYTES and is_second(m, parts))
    first = next(m for m in parts if m.end == second.begin)
    return first, second


def is_second(mapping: Mapping, parts: list[Mapping]) -> bool:
    return any(other.end == mapping.begin for other in parts)


@pytest.mark.parametrize("protection", ["r--s", "rw-s"], ids=["subscriber", "publisher"])
def test_data_is_mapped_twice_back_to_back(
    pair: tuple[rdmaq.Publisher, rdmaq.Subscription], protection: str
) -> None:
    """/proc/self/maps: same inode, the second begins where the first ends, at the data's offset."""
    first, second = data_halves(pair[0], protection)
    assert first.inode == second.inode
    assert first.end == second.begin
    assert second.offset_bytes == DATA_OFFSET_BYTES
    assert second.end - second.begin == CAPACITY_BYTES
    assert first.begin + DATA_OFFSET_BYTES - first.offset_bytes + CAPACITY_BYTES == first.end
    if protection == "rw-s":
        word = ctypes.c_uint64.from_address(second.begin + 64)
        word.value = 0xFEED
        assert ctypes.c_uint64.from_address(first.end - CAPACITY_BYTES + 64).value == 0xFEED


def test_subscribers_mapping_cannot_be_made_writable(
    pair: tuple[rdmaq.Publisher, rdmaq.Subscription],
) -> None:
    """Mprotect of either half is refused with EACCES, and the protection stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    for half in data_halves(pair[0], "r--s"):
        size_bytes = half.end - half.begin
        result = libc.mprotect(
            ctypes.c_void_p(half.begin),
            ctypes.c_size_t(size_bytes),
            mmap.PROT_READ | mmap.PROT_WRITE,
        )
        assert result == -1
        assert ctypes.get_errno() == errno.EACCES
    assert data_halves(pair[0], "r--s")


def test_borrowed_array_cannot_be_made_writable(
    pair: tuple[rdmaq.Publisher, rdmaq.Subscription],
) -> None:
    """Neither by a flag nor through a memoryview; not even by the publisher's own process."""
    pub, sub = pair
    pub.send_batch(np.arange(10, dtype="<u8"))
    with sub.view(0) as batch:
        assert batch is not None
        array = batch.data
        assert not array.flags.writeable
        assert not array.flags.owndata
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(TypeError, match="read-only"):
            memoryview(array)[0] = 1
        assert array.tolist() == list(range(10))


def test_segment_cannot_be_mapped_writable_grown_or_shrunk_by_who_has_its_descriptor(
    pair: tuple[rdmaq.Publisher, rdmaq.Subscription],
) -> None:
    """The seals, tried out on the very descriptor that is handed over; reading it works."""
    pub, _ = pair
    fd = pub.duplicate_segment_fd()
    try:
        size_bytes = os.fstat(fd).st_size
        assert size_bytes == DATA_OFFSET_BYTES + CAPACITY_BYTES
        with pytest.raises(PermissionError) as caught:
            mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        assert caught.value.errno == errno.EPERM
        for other_bytes in (0, 2 * size_bytes):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, other_bytes)
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, mmap.PROT_READ) as readable:
            assert readable[:8] == b"RDMQSEG1"
        assert os.fstat(fd).st_size == size_bytes
    finally:
        os.close(fd)


def test_all_memory_is_there_before_the_first_message(
    pair: tuple[rdmaq.Publisher, rdmaq.Subscription],
) -> None:
    """As many blocks as bytes: no first touch later, no SIGBUS when memory runs out."""
    pub, _ = pair
    fd = pub.duplicate_segment_fd()
    try:
        status = os.fstat(fd)
        assert status.st_blocks * 512 >= status.st_size
    finally:
        os.close(fd)
