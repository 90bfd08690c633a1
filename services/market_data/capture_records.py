"""Records of the two capture formats, by the libraries that know them.

dpkt reads pcap, python-pcapng reads pcapng: both keep time stamps exact. Not taken: scapy (exact,
but under the GPL), and the bindings of libpcap on PyPI (floats, or microseconds only). A torn or
damaged record ends the iteration, with `ByteSource.damage` set; dpkt alone would deliver it.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import dpkt
import dpkt.pcap
import pcapng
import pcapng.blocks
import pcapng.exceptions

from .byte_source import ByteSource

PCAP_MAGICS = frozenset(
    magic.to_bytes(4, order) for magic in (0xA1B2C3D4, 0xA1B23C4D) for order in ("big", "little")
)
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
# The upper bits of pcap's link type word tell about frame check sequences.
LINK_TYPE_MASK = 0x0FFF_FFFF
NS_PER_SECOND = 1_000_000_000
# pcapng counts microseconds where an interface does not say otherwise.
RESOLUTION_DEFAULT = 6

# What python-pcapng raises on bytes that are no pcapng. OSError comes from `inet_ntoa` only: one of
# the disk never gets so far, `ByteSource` turns it into damage.
_DAMAGE = (
    pcapng.exceptions.PcapngException,
    struct.error,
    LookupError,
    ValueError,
    RuntimeError,
    AttributeError,
    TypeError,
    OSError,
)


class Record(NamedTuple):
    """One packet as the file has it: ns since 1970, link type, and its captured bytes."""

    time_ns: int
    link_type: int
    data: bytes


def pcap_records(source: ByteSource) -> Iterator[Record]:
    """Yields the packets of a pcap file until its end or the first broken one.

    Args:
        source: At the file's first byte; stays the caller's.
    """
    try:
        reader = dpkt.pcap.Reader(source)
    except dpkt.UnpackError:
        return  # cut within the file header; `source.damage` says so
    link_type = reader.datalink() & LINK_TYPE_MASK
    records = iter(reader)
    while True:
        source.begin_record()
        try:
            seconds, data = next(records)
        except (StopIteration, dpkt.UnpackError):
            return
        if source.damage is not None:
            return
        yield Record(_exact_ns(seconds), link_type, data)


def _exact_ns(seconds: Decimal | float) -> int:
    """Turns dpkt's seconds into ns: a Decimal in nanosecond files, else a float.

    The float is exact after rounding to microseconds: 32 bits of seconds need 52 bits so.
    """
    if isinstance(seconds, Decimal):
        return int(seconds * NS_PER_SECOND)
    return round(seconds * 1_000_000) * 1000


def pcapng_records(source: ByteSource) -> Iterator[Record]:
    """Yields the packets of a pcapng file until its end or the first broken block.

    Args:
        source: At the file's first byte; stays the caller's.
    """
    blocks = iter(pcapng.FileScanner(source))
    time_ns = 0
    while True:
        source.begin_record()
        try:
            record = _next_packet(blocks, time_ns)
        except StopIteration:
            # The library takes a block that is too short for its fields for the file's end.
            if source.tell() > source.record_offset_bytes and source.damage is None:
                source.damage = "a pcapng block is shorter than its fields"
            return
        except _DAMAGE as error:
            if source.damage is None:
                source.damage = f"a pcapng block is damaged ({error})"
            return
        if source.damage is not None:
            return
        if record is not None:
            time_ns = record.time_ns
            yield record


def _next_packet(blocks: Iterator[Any], before_ns: int) -> Record | None:
    """Decodes the next block; None when it is no packet."""
    with warnings.catch_warnings():
        # The library warns of its own option tables, and of options that matter to nobody here.
        warnings.simplefilter("ignore")
        block = next(blocks)
        if not isinstance(block, pcapng.blocks.BasePacketBlock):
            return None
        # A simple packet block has no time: it keeps the time of the packet before it.
        time_ns = _block_ns(block, before_ns)
        return Record(time_ns, int(block.interface.link_type), bytes(block.packet_data))


def _block_ns(block: Any, before_ns: int) -> int:
    """Computes a block's time in integers; the library's own property is a float."""
    if not hasattr(block, "timestamp_high"):
        return before_ns
    ticks = (int(block.timestamp_high) << 32) | int(block.timestamp_low)
    options = block.interface.options
    resolution = options["if_tsresol"][0] if "if_tsresol" in options else RESOLUTION_DEFAULT
    base = 2 if resolution & 0x80 else 10
    ticks_per_second: int = base ** (resolution & 0x7F)
    offset_seconds = int(options["if_tsoffset"]) if "if_tsoffset" in options else 0
    return offset_seconds * NS_PER_SECOND + ticks * NS_PER_SECOND // ticks_per_second
