"""What a queue pair is told of, and back."""

from __future__ import annotations

from ipaddress import IPv6Address
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import wire
from rdmaq.bootstrap.messages import ConnectAsk, ProbeTarget
from rdmaq.sessions import attributes
from rdmaq.verbs.address import PairAddress

ETHERNET = PairAddress(
    qp_num=0x123456,
    psn=0xABCDEF,
    gid=IPv6Address("::ffff:10.0.0.7"),
    gid_kind="RoCE v2",
    lid=0,
    link_layer=2,
    mtu_bytes=1024,
    initiator_depth=16,
    responder_depth=4,
    receives=32,
)
INFINIBAND = PairAddress(
    qp_num=7,
    psn=0,
    gid=IPv6Address("fe80::1"),
    gid_kind="InfiniBand",
    lid=12,
    link_layer=1,
    mtu_bytes=4096,
    initiator_depth=1,
    responder_depth=255,
    receives=0,
)


@pytest.mark.parametrize("address", [ETHERNET, INFINIBAND])
def test_address_of_a_queue_pair_arrives_over_the_wire_as_it_was(address: PairAddress) -> None:
    """Pair to message to bytes to message to address: nothing is lost on the way."""
    granted = SimpleNamespace(inline_bytes=64, send_depth=9, receive_depth=1)
    pair: Any = SimpleNamespace(address=address, attributes=granted)
    told = attributes.to_message(pair)
    assert told.limits.max_rd_atomic == min(address.initiator_depth, address.responder_depth)
    ask = ConnectAsk(pair=told, regions=(), probe=ProbeTarget(address=4096, remote_key=1))
    packet = wire.connect_request(ask, bytes(64), "1").SerializeToString()
    arrived = wire.ask_from(pb.ConnectRequest.FromString(packet))
    assert arrived == ask
    assert attributes.to_address(arrived.pair) == address
