"""What one side of a queue pair tells the other before they are connected.

Version 1, 48 bytes, big-endian:

    0   4s  "RQPA"
    4   u8  version              5   u8  link layer (1 InfiniBand, 2 Ethernet)
    6   u8  kind of GID          7   u8  READs and atomics that it may have in flight
    8   u8  ... that it answers  9   3x  0
    12  u32 queue pair number    16  u32 first packet sequence number (24 bits)
    20  u16 LID                  22  u16 MTU of its port, bytes
    24  u32 receives posted      28  4x  0
    32  16s GID
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import ClassVar

from rdmaq.errors import HandoverError
from rdmaq.verbs.constants import LINK_LAYER_ETHERNET, LINK_LAYER_INFINIBAND, MTU_CODES
from rdmaq.verbs.gids import KINDS

_LAYOUT = struct.Struct(">4sBBBBB3xIIHHI4x16s")
_MAGIC, _VERSION = b"RQPA", 1
ADDRESS_BYTES = _LAYOUT.size
assert ADDRESS_BYTES == 48


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAddress:
    """Where a queue pair is and what it can do: give it to the peer, by whatever means.

    Who knows it can connect to the queue pair, once; it holds no secret of the memory behind.

    Attributes:
        qp_num: the queue pair's number, 24 bits.
        psn: the number of the first packet that it sends, random, 24 bits.
        gid: the GID of its port.
        gid_kind: "RoCE v2", "RoCE v1" or "InfiniBand".
        lid: its port's local identifier, 0 on Ethernet.
        link_layer: 1 for InfiniBand, 2 for Ethernet.
        mtu_bytes: what its port and its settings allow.
        initiator_depth: READs and atomics that it may have in flight.
        responder_depth: READs and atomics that it answers at once.
        receives: receives that it has posted when it is connected: so many WRITE_WITH_IMM may come.
    """

    qp_num: int
    psn: int
    gid: IPv6Address
    gid_kind: str
    lid: int
    link_layer: int
    mtu_bytes: int
    initiator_depth: int
    responder_depth: int
    receives: int

    SIZE_BYTES: ClassVar[int] = ADDRESS_BYTES  # of to_bytes()

    def to_bytes(self) -> bytes:
        """The 48 bytes for the peer."""
        return _LAYOUT.pack(
            _MAGIC,
            _VERSION,
            self.link_layer,
            KINDS.index(self.gid_kind),
            self.initiator_depth,
            self.responder_depth,
            self.qp_num,
            self.psn,
            self.lid,
            self.mtu_bytes,
            self.receives,
            self.gid.packed,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PairAddress:
        """Reads what a peer sent, believing nothing.

        Raises:
            HandoverError: it is no address of a queue pair, or of another version.
        """
        if not isinstance(data, (bytes, bytearray)):
            raise HandoverError(
                f"a {type(data).__name__} is no address of a queue pair: pass the bytes that the "
                "peer sent"
            )
        if len(data) != ADDRESS_BYTES or data[:4] != _MAGIC:
            raise HandoverError(
                f"what the peer sent ({len(data)} bytes) is no address of a queue pair: "
                f"that is {ADDRESS_BYTES} bytes which begin with RQPA; is the peer rdmaq?"
            )
        if data[4] != _VERSION:
            raise HandoverError(
                f"the peer's address of a queue pair has version {data[4]}: this rdmaq reads "
                f"version {_VERSION}; run the same release on both sides"
            )
        _, _, layer, kind, initiator, responder, qp_num, psn, lid, mtu, receives, gid = (
            _LAYOUT.unpack(data)
        )
        is_sane = (
            layer in (LINK_LAYER_INFINIBAND, LINK_LAYER_ETHERNET)
            and kind < len(KINDS)
            and 0 < qp_num < 1 << 24
            and psn < 1 << 24
            and mtu in MTU_CODES
            and receives <= 1 << 24
        )
        if not is_sane:
            raise HandoverError(
                "the peer's address of a queue pair holds numbers that none can have: "
                f"number {qp_num:#x}, PSN {psn:#x}, MTU {mtu}, link layer {layer}, GID kind {kind};"
                " it was damaged on the way, or the peer is not rdmaq"
            )
        return cls(
            qp_num=qp_num,
            psn=psn,
            gid=IPv6Address(gid),
            gid_kind=KINDS[kind],
            lid=lid,
            link_layer=layer,
            mtu_bytes=mtu,
            initiator_depth=initiator,
            responder_depth=responder,
            receives=receives,
        )
