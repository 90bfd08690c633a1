"""Finds out how large packets may be on the way to a host: ICMP echoes that nobody may divide.

RFC 792 and RFC 4443. An ordinary user may send them where net.ipv4.ping_group_range says so, as
most distributions have it; else root.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address

_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_IP_BYTES = {4: 20, 6: 40}
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG, _PROBE = 10, 23, 62, 3  # linux/in.h, in6.h
_TRIES, _SECONDS_A_TRY = 3, 0.7

Address = IPv4Address | IPv6Address


class NoEcho(Exception):
    """Echoes cannot be sent, or not even the smallest comes back; the text says which."""


def largest(own: Address, peer: Address, sizes_bytes: Sequence[int]) -> int:
    """Returns the largest of some sizes of IP packets that comes back; 0 if only smaller ones do.

    Args:
        own: our address.
        peer: the host's.
        sizes_bytes: to be tried, the largest first.

    Raises:
        NoEcho: nothing is known.
    """
    with closing(_opened(own, peer)) as opened:
        echoes = _Echoes(opened, peer)
        smallest = _IP_BYTES[peer.version] + _HEADER.size + 8
        if not echoes.comes_back(smallest):
            raise NoEcho(f"{peer} answers no ping")
        return next((size for size in sizes_bytes if echoes.comes_back(size)), 0)


def _opened(own: Address, peer: Address) -> socket.socket:
    is_v4 = peer.version == 4
    family = socket.AF_INET if is_v4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6
    failure: OSError | None = None
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            opened = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = error
            continue
        try:
            if is_v4:
                opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
            else:
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
            opened.bind((str(own), 0))
        except OSError as error:
            opened.close()
            raise NoEcho(f"no ping can be sent from {own}: {error.strerror}") from error
        return opened
    why = failure.strerror if failure is not None else "it is not known why"
    raise NoEcho(f"this user may send no ping ({why}; sysctl net.ipv4.ping_group_range)")


class _Echoes:
    """Sends requests and knows its own replies."""

    def __init__(self, opened: socket.socket, peer: Address) -> None:
        self._socket, self._peer = opened, peer
        self._is_raw = opened.type == socket.SOCK_RAW
        self._identifier = os.getpid() & 0xFFFF  # the kernel puts its own in a datagram socket's
        self._sequence = 0

    def comes_back(self, size_bytes: int) -> bool:
        """Whether an echo in a packet of so many bytes does, at one of a few tries."""
        return any(self._once(size_bytes) for _ in range(_TRIES))

    def _once(self, size_bytes: int) -> bool:
        version = self._peer.version
        self._sequence += 1
        fields = (self._identifier, self._sequence)
        body = bytes(size_bytes - _IP_BYTES[version] - _HEADER.size)
        checksum = _checksum(_HEADER.pack(_REQUEST[version], 0, 0, *fields) + body)
        packet = _HEADER.pack(_REQUEST[version], 0, checksum, *fields) + body
        try:
            self._socket.sendto(packet, (str(self._peer), 0))
        except OSError:  # EMSGSIZE: our own interface, or one on the way that said so
            return False
        deadline = time.monotonic() + _SECONDS_A_TRY
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0] and self._is_ours(len(packet)):
                return True
        return False

    def _is_ours(self, length: int) -> bool:
        try:
            data = self._socket.recv(1 << 16)
        except OSError:  # an ICMP error that concerns us
            return False
        if self._is_raw and self._peer.version == 4:
            data = data[(data[0] & 15) * 4 :] if data else b""  # a raw socket gives IP's header
        if len(data) != length:
            return False
        kind, _, _, identifier, sequence = _HEADER.unpack_from(data)
        return (
            kind == _REPLY[self._peer.version]
            and sequence == self._sequence
            and (not self._is_raw or identifier == self._identifier)
        )


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071); for version 6 the kernel puts another in its place."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
