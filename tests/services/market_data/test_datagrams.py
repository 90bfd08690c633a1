"""UDP payloads are found under every link layer; all else is counted by its reason."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdmaq_services.market_data.capture import Frame
from rdmaq_services.market_data.datagrams import LINK_TYPES, DatagramReader
from rdmaq_services.market_data.errors import CaptureError

PAYLOAD = b"payload of the datagram"
GROUP, PORT = bytes([233, 54, 12, 111]), 26477
LINE = "233.54.12.111:26477"


def udp() -> bytes:
    return struct.pack(">HHHH", 5000, PORT, 8 + len(PAYLOAD), 0) + PAYLOAD


def ipv4(
    body: bytes | None = None, *, flags: int = 0, options: bytes = b"", protocol: int = 17
) -> bytes:
    body = udp() if body is None else body
    words = (20 + len(options)) // 4
    total = 20 + len(options) + len(body)
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | words, 0, total, 1, flags, 16, protocol, 0,
                       bytes([10, 0, 0, 1]), GROUP)  # fmt: skip
    return head + options + body


def ipv6(body: bytes | None = None, next_header: int = 17) -> bytes:
    body = udp() if body is None else body
    group = bytes.fromhex("ff05000000000000000000000000abcd")
    return struct.pack(">IHBB16s16s", 6 << 28, len(body), next_header, 1, bytes(16), group) + body


def ethernet(body: bytes, ether_type: int = 0x0800, tags: tuple[int, ...] = ()) -> bytes:
    marks = b"".join(struct.pack(">HH", kind, 142) for kind in tags)
    return bytes(12) + marks + struct.pack(">H", ether_type) + body


def found(data: bytes, link_type: int = 1) -> list[tuple[int, str, bytes]]:
    return list(DatagramReader([Frame(1, 77, link_type, data)]))


@pytest.mark.parametrize(
    ("data", "link_type"),
    [
        (ethernet(ipv4()), 1),
        (ethernet(ipv4(), tags=(0x8100,)), 1),
        (ethernet(ipv4(), tags=(0x88A8, 0x8100)), 1),
        (ethernet(ipv4(), tags=(0x8100, 0x8100)), 1),
        (ethernet(ipv4(options=b"\x94\x04\0\0")), 1),
        (ethernet(ipv4(), tags=()) + b"\0" * 18, 1),  # padding of a short frame
        (ipv4(), 101),
        (ipv4(), 228),
        (struct.pack(">HHH8sH", 2, 1, 6, bytes(8), 0x0800) + ipv4(), 113),
        (struct.pack(">HHiHBB8s", 0x0800, 0, 2, 1, 2, 6, bytes(8)) + ipv4(), 276),
    ],
    ids=["plain", "tag", "two tags", "802.1Q twice", "ip options", "padded", "raw", "raw ipv4",
         "sll", "sll2"],
)  # fmt: skip
def test_datagram_is_found_under(data: bytes, link_type: int) -> None:
    assert found(data, link_type) == [(77, LINE, PAYLOAD)]


def test_ipv6_datagram_is_found_with_its_line_in_brackets() -> None:
    expected = [(77, f"[ff05::abcd]:{PORT}", PAYLOAD)]
    assert found(ethernet(ipv6(), 0x86DD)) == expected
    hop_options = struct.pack(">BBBB4s", 17, 0, 1, 4, bytes(4)) + udp()
    assert found(ethernet(ipv6(hop_options, next_header=0), 0x86DD)) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ethernet(b"arp", 0x0806), "not IP"),
        (ethernet(ipv4(protocol=6)), "not UDP"),
        (ethernet(ipv4(flags=0x2000)), "IP fragment"),
        (ethernet(ipv4(flags=0x0010)), "IP fragment"),
        (ethernet(ipv6(struct.pack(">BBHI", 17, 0, 1, 9) + udp(), 44), 0x86DD), "IP fragment"),
        (ethernet(ipv4(udp()[:6])), "broken UDP"),
        (ethernet(ipv4(struct.pack(">HHHH", 1, 2, 7, 0))), "cut by the capture's snapshot length"),
        (ethernet(ipv4())[:-3], "cut by the capture's snapshot length"),
        (b"\x01\x02", "broken frame"),
    ],
)
def test_frame_without_a_whole_datagram_is_counted_by_its_reason(data: bytes, reason: str) -> None:
    reader = DatagramReader([Frame(1, 77, 1, data)])
    assert list(reader) == []
    assert dict(reader.skipped) == {reason: 1}


def test_only_the_lines_asked_for_are_read() -> None:
    reader = DatagramReader([Frame(1, 77, 1, ethernet(ipv4()))], frozenset(["10.0.0.1:1"]))
    assert list(reader) == []
    assert dict(reader.skipped) == {"another line": 1}


def test_unknown_link_type_is_refused_by_its_number() -> None:
    with pytest.raises(CaptureError, match="link type 147"):
        found(b"x" * 60, 147)


@given(st.sampled_from(sorted(LINK_TYPES)), st.binary(max_size=120))
def test_any_bytes_are_decoded_or_counted_and_nothing_else(link_type: int, data: bytes) -> None:
    reader = DatagramReader([Frame(1, 77, link_type, data)])
    assert len(list(reader)) + sum(reader.skipped.values()) == 1


@given(st.data())
def test_any_flipped_byte_is_decoded_or_counted_and_nothing_else(data: st.DataObject) -> None:
    """Real frames with some bytes changed reach deeper than random ones."""
    frame = bytearray(data.draw(st.sampled_from([ethernet(ipv4(options=bytes(8)), tags=(0x8100,)),
                                                 ethernet(ipv6(), 0x86DD)])))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    reader = DatagramReader([Frame(1, 77, 1, bytes(frame))])
    assert len(list(reader)) + sum(reader.skipped.values()) == 1
