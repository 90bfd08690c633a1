"""MoldUDP64 packets are taken apart to the last byte, or refused with a reason."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdmaq_services.market_data.moldudp64 import (
    SEQUENCE_MAX,
    MalformedPacketError,
    block_offset,
    pack,
    pack_header,
    parse,
)

MESSAGES = [b"", b"A", b"second", b"\0" * 300]


def test_packet_gives_its_messages_as_they_came() -> None:
    packet = parse(pack("SESSION001", 42, MESSAGES))
    assert (packet.session, packet.sequence, packet.message_count) == ("SESSION001", 42, 4)
    assert bytes(packet.blocks) == b"".join(struct.pack(">H", len(m)) + m for m in MESSAGES)
    assert not packet.end_of_session


def test_blocks_borrow_from_the_datagram() -> None:
    datagram = pack("S", 1, MESSAGES)
    assert parse(datagram).blocks.obj is datagram


def test_session_loses_the_spaces_behind_it() -> None:
    assert parse(pack("AB", 1, [b"x"])).session == "AB"


def test_count_zero_is_a_heartbeat_and_count_ffff_the_end() -> None:
    heartbeat = parse(pack_header("S", 7, 0))
    assert (heartbeat.message_count, heartbeat.sequence) == (0, 7)
    assert not heartbeat.end_of_session
    end = parse(pack_header("S", 7, 0xFFFF))
    assert (end.message_count, end.sequence) == (0, 7)
    assert end.end_of_session


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "shorter than a header"),
        (pack_header("S", 1, 1)[:-1], "shorter than a header"),
        (pack_header("S", 1, 1), "fewer messages than counted"),
        (pack("S", 1, [b"x"])[:-1], "longer than the packet"),
        (pack("S", 1, [b"x"]) + b"\0", "bytes after the last message"),
        (pack_header("S", 1, 3) + pack("S", 1, [b"x", b"y"])[20:], "fewer messages than counted"),
        (pack_header("S", 1, 1) + pack("S", 1, [b"x", b"y"])[20:], "bytes after the last"),
        (pack_header("S", 1, 0) + b"\0", "without messages"),
        (pack_header("S", 1, 0xFFFF) + b"\0", "without messages"),
        (pack("S", 0, [b"x"]), "sequence out of range"),
        (pack("S", SEQUENCE_MAX, [b"x"]), "sequence out of range"),
        (pack_header("S", (1 << 64) - 1, 0), "sequence out of range"),
        (b"\xff" * 10 + pack("S", 1, [b"x"])[10:], "not ASCII"),
    ],
)
def test_packet_that_contradicts_itself_is_refused(datagram: bytes, reason: str) -> None:
    with pytest.raises(MalformedPacketError, match=reason):
        parse(datagram)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_and_nothing_else(datagram: bytes) -> None:
    try:
        packet = parse(datagram)
    except MalformedPacketError:
        return
    assert block_offset(packet.blocks, packet.message_count) == len(packet.blocks)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30), st.binary(max_size=3))
def test_any_messages_come_back_and_any_trailing_byte_is_refused(
    messages: list[bytes], tail: bytes
) -> None:
    datagram = pack("S", 9, messages) + tail
    if tail:
        with pytest.raises(MalformedPacketError):
            parse(datagram)
        return
    packet = parse(datagram)
    starts = [block_offset(packet.blocks, index) for index in range(len(messages) + 1)]
    pairs = itertools.pairwise(starts)
    assert [bytes(packet.blocks[a + 2 : b]) for a, b in pairs] == messages
