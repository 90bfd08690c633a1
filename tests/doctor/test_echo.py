"""Echoes over loopback: the largest size that comes back, and what is said when none does."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import ip_address

import pytest

from rdmaq.doctor import echo

LOOPBACK_MTU_BYTES = 65536


def has_ipv6() -> bool:
    """Whether loopback has an address of version 6: not in every container."""
    try:
        with closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def may_ping() -> bool:
    """Whether this user may: root, or as net.ipv4.ping_group_range says."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with closing(socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("address", ["127.0.0.1", *(["::1"] if has_ipv6() else [])])
def test_largest_size_that_comes_back_is_found(address: str) -> None:
    """One that loopback does not carry is among them; who may not ping is told so."""
    own = ip_address(address)
    if not may_ping():
        with pytest.raises(echo.NoEcho, match="may send no ping"):
            echo.largest(own, own, [1500])
        return
    assert echo.largest(own, own, [LOOPBACK_MTU_BYTES + 100, 4156, 1500]) == 4156
    assert echo.largest(own, own, [1500]) == 1500
    assert echo.largest(own, own, [LOOPBACK_MTU_BYTES + 100]) == 0


def test_nothing_is_known_of_a_host_that_does_not_answer() -> None:
    """Loopback reaches no other host."""
    with pytest.raises(echo.NoEcho):
        echo.largest(ip_address("127.0.0.1"), ip_address("192.0.2.1"), [1500])


def test_checksum_makes_the_sum_of_all_words_full() -> None:
    """RFC 1071: with the checksum in its place the whole sums up to ffff, whose complement is 0."""
    data = bytes(range(1, 10))
    checksum = echo._checksum(data)
    assert echo._checksum(data + b"\0" + checksum.to_bytes(2, "big")) == 0
