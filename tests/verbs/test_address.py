"""What two sides tell each other is packed, read and judged."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmaq.errors import HandoverError, PairError, RegistrationError
from rdmaq.verbs import PairAddress, RemoteMemory
from rdmaq.verbs.address import ADDRESS_BYTES
from rdmaq.verbs.gids import KINDS
from rdmaq.verbs.states import agree

ONE = PairAddress(
    qp_num=0x123456,
    psn=0x654321,
    gid=IPv6Address("::ffff:10.0.0.5"),
    gid_kind="RoCE v2",
    lid=0,
    link_layer=2,
    mtu_bytes=4096,
    initiator_depth=16,
    responder_depth=8,
    receives=32,
)

addresses = st.builds(
    PairAddress,
    qp_num=st.integers(1, (1 << 24) - 1),
    psn=st.integers(0, (1 << 24) - 1),
    gid=st.integers(0, (1 << 128) - 1).map(IPv6Address),
    gid_kind=st.sampled_from(KINDS),
    lid=st.integers(0, 0xFFFF),
    link_layer=st.sampled_from([1, 2]),
    mtu_bytes=st.sampled_from([256, 512, 1024, 2048, 4096]),
    initiator_depth=st.integers(0, 255),
    responder_depth=st.integers(0, 255),
    receives=st.integers(0, 1 << 24),
)


@given(addresses)
def test_address_survives_the_way(address: PairAddress) -> None:
    assert PairAddress.from_bytes(address.to_bytes()) == address


@given(st.binary(max_size=ADDRESS_BYTES + 8) | st.binary(max_size=44).map(b"RQPA".__add__))
def test_garbage_is_refused_or_read_within_bounds(data: bytes) -> None:
    try:
        found = PairAddress.from_bytes(data)
    except HandoverError:
        return
    assert found.qp_num < 1 << 24
    assert found.mtu_bytes in (256, 512, 1024, 2048, 4096)


def test_another_version_is_told() -> None:
    data = bytearray(ONE.to_bytes())
    data[4] = 2
    with pytest.raises(HandoverError, match=r"version 2: this rdmaq reads version 1; .*both sides"):
        PairAddress.from_bytes(bytes(data))


def test_both_sides_come_to_the_same_agreement() -> None:
    other = replace(ONE, mtu_bytes=1024, initiator_depth=4, responder_depth=128)
    mine, theirs = agree(ONE, other), agree(other, ONE)
    assert mine.mtu_bytes == theirs.mtu_bytes == 1024
    assert mine.initiator_depth == theirs.responder_depth == 16
    assert mine.responder_depth == theirs.initiator_depth == 4


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, gid_kind="RoCE v1"),
        replace(ONE, gid_kind="InfiniBand", link_layer=1),
        replace(ONE, gid=IPv6Address("2001:db8::1")),
    ],
)
def test_networks_of_different_kinds_are_refused_before_anything_is_tried(
    other: PairAddress,
) -> None:
    with pytest.raises(PairError, match=r"cannot reach .*; choose GIDs of one"):
        agree(ONE, other)


memories = st.builds(
    RemoteMemory,
    address=st.integers(0, (1 << 63)),
    length=st.integers(0, (1 << 63)),
    rkey=st.integers(0, (1 << 32) - 1),
)


@given(memories)
def test_remote_memory_survives_the_way(memory: RemoteMemory) -> None:
    assert RemoteMemory.from_bytes(memory.to_bytes()) == memory


@given(st.binary(max_size=32) | st.binary(min_size=20, max_size=20).map(b"RQM\x01".__add__))
def test_garbage_is_no_remote_memory_that_leaves_the_address_space(data: bytes) -> None:
    try:
        found = RemoteMemory.from_bytes(data)
    except HandoverError:
        return
    assert found.address + found.length <= 1 << 64


def test_parts_of_remote_memory_stay_inside() -> None:
    memory = RemoteMemory(address=1000, length=100, rkey=7)
    assert memory[10:30] == RemoteMemory(address=1010, length=20, rkey=7)
    assert memory[:] == memory
    places: list[Any] = [slice(0, 101), slice(-1, None), slice(5, 4), slice(0, 10, 2)]
    for part in [*places, slice("a", 5)]:
        with pytest.raises(RegistrationError, match=r"is no part of memory of 100 bytes: .*; "):
            memory[part]
    with pytest.raises(RegistrationError, match=r"\[3\] is no part .*; for one byte"):
        memory[3]  # type: ignore[index]


@pytest.mark.parametrize("kind", [PairAddress, RemoteMemory])
@pytest.mark.parametrize("data", [None, 7, "RQPA"])
def test_what_is_no_bytes_is_refused_in_words(kind: Any, data: Any) -> None:
    with pytest.raises(HandoverError, match=r"pass the bytes that the peer sent"):
        kind.from_bytes(data)
