"""Between a queue pair of verbs and what the bootstrap tells of it."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import LINK_LAYERS, Limits, PairAttributes
from rdmaq.verbs.address import PairAddress

if TYPE_CHECKING:
    from rdmaq.verbs.pair import Pair


def to_message(pair: Pair) -> PairAttributes:
    """What the other side must know of a queue pair of ours."""
    address, granted = pair.address, pair.attributes
    return PairAttributes(
        qp_num=address.qp_num,
        psn=address.psn,
        gid=address.gid.packed,
        gid_kind=address.gid_kind,
        lid=address.lid,
        link_layer=LINK_LAYERS[address.link_layer - 1],
        initiator_depth=address.initiator_depth,
        responder_depth=address.responder_depth,
        receives=address.receives,
        limits=Limits(
            mtu_bytes=address.mtu_bytes,
            max_rd_atomic=min(address.initiator_depth, address.responder_depth),
            max_inline_bytes=granted.inline_bytes,
            max_send_requests=granted.send_depth,
            max_receive_requests=granted.receive_depth,
        ),
    )


def to_address(attributes: PairAttributes) -> PairAddress:
    """Where the other side's queue pair is; its fields were checked when they arrived."""
    return PairAddress(
        qp_num=attributes.qp_num,
        psn=attributes.psn,
        gid=IPv6Address(attributes.gid),
        gid_kind=attributes.gid_kind,
        lid=attributes.lid,
        link_layer=LINK_LAYERS.index(attributes.link_layer) + 1,
        mtu_bytes=attributes.limits.mtu_bytes,
        initiator_depth=attributes.initiator_depth,
        responder_depth=attributes.responder_depth,
        receives=attributes.receives,
    )
