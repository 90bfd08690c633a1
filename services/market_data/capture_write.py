"""Datagrams written as a pcap file with nanoseconds, gzip when its name ends so."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import BinaryIO

import dpkt.ethernet
import dpkt.ip
import dpkt.pcap
import dpkt.udp

from .datagrams import Datagram

SNAPSHOT_BYTES = 65_535
SOURCE_ADDRESS = IPv4Address("10.0.0.1")
SOURCE_MAC = bytes.fromhex("020000000001")
TIME_TO_LIVE = 16
_LENGTH_AT_IP, _SUM_AT_IP, _LENGTH_AT_UDP = 2, 10, 24
_U16 = struct.Struct(">H")


def write_capture(path: Path, datagrams: Iterable[Datagram], vlan: int | None = None) -> int:
    """Writes datagrams as Ethernet frames to a file and returns how many there were.

    Args:
        path: Replaced if it exists; gzip when it ends in ".gz", with the same bytes each time.
        datagrams: In the order to be written, to IPv4 addresses.
        vlan: When given, frames bear an 802.1Q tag of this VLAN, 0 to 4094.

    Raises:
        OSError: The file cannot be written; what was written of it stays.
    """
    count = 0
    frames = _FrameBuilder(vlan)
    with _opened(path) as file:
        writer = dpkt.pcap.Writer(file, snaplen=SNAPSHOT_BYTES, nano=True)
        for datagram in datagrams:
            frame = frames.build(datagram)
            writer.writepkt_time(frame, Decimal(datagram.time_ns).scaleb(-9))
            count += 1
    return count


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        # No name and no time inside: the same seed gives the same file.
        with gzip.GzipFile(
            filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6
        ) as packed:
            yield packed  # type: ignore[misc]


class _FrameBuilder:
    """Puts Ethernet, IPv4 and UDP headers before payloads, from one template per line."""

    def __init__(self, vlan: int | None) -> None:
        self._tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
        self._templates: dict[str, bytes] = {}

    def build(self, datagram: Datagram) -> bytes:
        template = self._templates.get(datagram.line)
        if template is None:
            template = self._templates[datagram.line] = _ip_and_udp_headers(datagram.line)
        headers = bytearray(template)
        payload_bytes = len(datagram.payload)
        _U16.pack_into(headers, _LENGTH_AT_IP, 28 + payload_bytes)
        _U16.pack_into(headers, _LENGTH_AT_UDP, 8 + payload_bytes)
        total = sum(struct.unpack_from(">10H", headers))
        total = (total & 0xFFFF) + (total >> 16)
        _U16.pack_into(headers, _SUM_AT_IP, ~(total + (total >> 16)) & 0xFFFF)
        group = headers[16:20]
        mac = bytes([0x01, 0x00, 0x5E, group[1] & 0x7F, group[2], group[3]])
        ether_type = _U16.pack(dpkt.ethernet.ETH_TYPE_IP)
        return b"".join((mac, SOURCE_MAC, self._tag, ether_type, headers, datagram.payload))


def _ip_and_udp_headers(line: str) -> bytes:
    """Makes the headers of a line with lengths and sums left 0 (for UDP: not computed)."""
    address, _, port = line.rpartition(":")
    packet = dpkt.ip.IP(
        src=SOURCE_ADDRESS.packed,
        dst=IPv4Address(address).packed,
        p=dpkt.ip.IP_PROTO_UDP,
        ttl=TIME_TO_LIVE,
        df=1,
    )
    datagram = dpkt.udp.UDP(sport=int(port), dport=int(port))
    return bytes(packet.pack_hdr()) + bytes(datagram.pack_hdr())
