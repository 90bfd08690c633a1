"""MoldUDP64 packets, checked to the last byte.

    0         10              18      20
    | session | sequence (u64) | count | count x { length (u16), message }       all big-endian

Source: MoldUDP64 protocol specification, version 1.00 (Nasdaq, 2009-07-07).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

HEADER = struct.Struct(">10sQH")
LENGTH = struct.Struct(">H")
HEARTBEAT_COUNT = 0
END_OF_SESSION_COUNT = 0xFFFF
# The highest that an rdmaq stream carries. Honest feeds stay far below: this is 1,000 years at
# 100 million messages a second.
SEQUENCE_MAX = (1 << 62) - 1


class MalformedPacketError(ValueError):
    """A datagram is no MoldUDP64 packet; the text is the reason it is counted under."""


class Packet(NamedTuple):
    """One packet from the line.

    Attributes:
        session: Ten ASCII characters, spaces at its end taken off.
        sequence: Of the first message; in a heartbeat or end of session, of the next one to come.
        message_count: Messages in `blocks`: 0 in a heartbeat and at the end of the session.
        blocks: The message blocks as they came, borrowed from the datagram.
        end_of_session: No message will follow `sequence`.
    """

    session: str
    sequence: int
    message_count: int
    blocks: memoryview
    end_of_session: bool = False


def parse(datagram: bytes) -> Packet:
    """Takes a datagram apart, trusting none of its bytes.

    Args:
        datagram: A whole UDP payload; `Packet.blocks` borrows from it.

    Raises:
        MalformedPacketError: Header or blocks contradict themselves or the datagram's length.
    """
    if len(datagram) < HEADER.size:
        raise MalformedPacketError("shorter than a header")
    session_bytes, sequence, count = HEADER.unpack_from(datagram)
    session = _session_name(session_bytes)
    blocks = memoryview(datagram)[HEADER.size :]
    if sequence + count > SEQUENCE_MAX:
        raise MalformedPacketError("sequence out of range")
    if count in (HEARTBEAT_COUNT, END_OF_SESSION_COUNT):
        if len(blocks):
            raise MalformedPacketError("bytes after a packet without messages")
        return Packet(session, sequence, 0, blocks, count == END_OF_SESSION_COUNT)
    if sequence == 0:
        raise MalformedPacketError("sequence out of range")
    if block_offset(blocks, count) != len(blocks):
        raise MalformedPacketError("bytes after the last message")
    return Packet(session, sequence, count, blocks)


def block_offset(blocks: memoryview, index: int) -> int:
    """Walks over `index` message blocks and gives the byte offset behind them.

    Raises:
        MalformedPacketError: The blocks end before that.
    """
    offset = 0
    end = len(blocks)
    for _ in range(index):
        if offset + LENGTH.size > end:
            raise MalformedPacketError("fewer messages than counted")
        offset += LENGTH.size + LENGTH.unpack_from(blocks, offset)[0]
    if offset > end:
        raise MalformedPacketError("message longer than the packet")
    return offset


def _session_name(session_bytes: bytes) -> str:
    if any(not 0x20 <= byte < 0x7F for byte in session_bytes):
        raise MalformedPacketError("session is not ASCII")
    return session_bytes.decode("ascii").rstrip(" ")


def pack(session: str, sequence: int, blocks: Iterable[bytes]) -> bytes:
    """Builds a packet of messages (without their length prefixes); none makes a heartbeat.

    Args:
        session: At most ten ASCII characters.
        sequence: Of the first message, or the next one in a heartbeat.
        blocks: The messages, each at most 65,535 bytes.
    """
    messages = list(blocks)
    body = b"".join(LENGTH.pack(len(message)) + message for message in messages)
    return pack_header(session, sequence, len(messages)) + body


def pack_header(session: str, sequence: int, count: int) -> bytes:
    """Builds the 20 bytes before the message blocks."""
    return HEADER.pack(session.ljust(10).encode("ascii"), sequence, count)
