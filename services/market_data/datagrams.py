"""UDP datagrams out of captured frames; what is not one is counted by its reason.

dpkt takes the frames apart: Ethernet with any number of 802.1Q tags, Linux cooked captures, raw
IP; IPv4 with options, IPv6 with extension headers.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

import dpkt
import dpkt.ethernet
import dpkt.ip
import dpkt.ip6
import dpkt.loopback
import dpkt.sll
import dpkt.sll2
import dpkt.udp

from .capture import Frame
from .errors import CaptureError


def _raw_ip(data: bytes) -> Any:
    """Decodes what begins with an IP header, of the version its first four bits name."""
    if data[:1] and data[0] >> 4 == 6:
        return _Bare(dpkt.ip6.IP6(data))
    return _Bare(dpkt.ip.IP(data))


class _Bare:
    """A link layer that is not there: only its payload."""

    def __init__(self, data: Any) -> None:
        self.data = data


# Numbers from the registry of link types at tcpdump.org.
LINK_TYPES: dict[int, Callable[[bytes], Any]] = {
    0: dpkt.loopback.Loopback,
    1: dpkt.ethernet.Ethernet,
    12: _raw_ip,  # as written on Linux; 14 on OpenBSD
    14: _raw_ip,
    101: _raw_ip,
    113: dpkt.sll.SLL,
    228: _raw_ip,
    229: _raw_ip,
    276: dpkt.sll2.SLL2,
}
UDP_HEADER_BYTES = 8


class Datagram(NamedTuple):
    """A UDP payload, the line it came on ("group:port") and its capture time, ns since 1970."""

    time_ns: int
    line: str
    payload: bytes


class Skipped(Exception):
    """A frame holds no whole UDP datagram; the text is the reason it is counted under."""


class DatagramReader:
    """Yields the UDP datagrams of frames, and counts the frames that hold none.

    Args:
        frames: Frames in capture order.
        name: Of the capture, for errors.
        lines: When given, only datagrams to these ("group:port") are yielded.

    Attributes:
        skipped: Frames passed over, by reason.
        line_frames: Datagrams yielded, by line.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        lines: frozenset[str] = frozenset(),
        *,
        name: str = "the capture",
    ) -> None:
        self._frames = frames
        self._name = name
        self._lines = lines
        self._names: dict[tuple[bytes, int], str] = {}
        self.skipped: Counter[str] = Counter()
        self.line_frames: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Datagram]:
        for frame in self._frames:
            try:
                group, port, payload = self._udp_of(frame)
            except Skipped as reason:
                self.skipped[str(reason)] += 1
                continue
            line = self._names.get((group, port))
            if line is None:
                line = self._names[group, port] = _line_name(group, port)
            if self._lines and line not in self._lines:
                self.skipped["another line"] += 1
                continue
            self.line_frames[line] += 1
            yield Datagram(frame.time_ns, line, payload)

    def _udp_of(self, frame: Frame) -> tuple[bytes, int, bytes]:
        decode = LINK_TYPES.get(frame.link_type)
        if decode is None:
            raise CaptureError(
                f"{self._name} has the link type {frame.link_type}, in packet {frame.number}",
                "it is none that is read here",
                "capture on Ethernet, Linux cooked (any) or raw IP interfaces",
            )
        return _udp_of(frame, decode)


def _line_name(group: bytes, port: int) -> str:
    address = ip_address(group)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _udp_of(frame: Frame, decode: Callable[[bytes], Any]) -> tuple[bytes, int, bytes]:
    """Gives destination address, destination port and payload of a frame.

    Raises:
        Skipped: The frame holds no whole UDP datagram.
    """
    try:
        packet = decode(frame.data).data
    except (dpkt.Error, struct.error, LookupError, ValueError):
        # dpkt guards most, not all, of its reads by checks of its own.
        raise Skipped("broken frame") from None
    if isinstance(packet, dpkt.ip.IP):
        if packet.mf or packet.offset:
            raise Skipped("IP fragment")
    elif not isinstance(packet, dpkt.ip6.IP6):
        raise Skipped("not IP")
    elif 44 in packet.extension_hdrs:
        raise Skipped("IP fragment")
    datagram = packet.data
    if not isinstance(datagram, dpkt.udp.UDP):
        raise Skipped("broken UDP" if packet.p == dpkt.ip.IP_PROTO_UDP else "not UDP")
    payload_bytes = datagram.ulen - UDP_HEADER_BYTES
    if not 0 <= payload_bytes <= len(datagram.data):
        raise Skipped("cut by the capture's snapshot length")
    return packet.dst, datagram.dport, bytes(datagram.data[:payload_bytes])
