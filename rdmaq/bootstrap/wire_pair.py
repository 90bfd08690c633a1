"""Queue pairs and their limits between plain messages and protobuf, and how a field is refused."""

from __future__ import annotations

from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap.messages import GID_KINDS, LINK_LAYERS, Limits, PairAttributes
from rdmaq.errors import BootstrapError

NAME_BYTES_MAX = 192
_MTU_BYTES = (256, 512, 1024, 2048, 4096)
_QP_NUM_MAX = _PSN_MAX = (1 << 24) - 1
_DEPTH_MAX = 255
_RECEIVES_MAX = 1 << 24


def need(is_good: bool, what: str) -> None:
    """Refuses a message that is not in order: `what` says why."""
    if not is_good:
        raise BootstrapError(
            f"the peer's message is not in order: {what}; run the same release on both sides"
        )


def name_in(name: str) -> str:
    """A stream's or region's name, checked."""
    need(0 < len(name.encode()) <= NAME_BYTES_MAX and name.isprintable(), "a name is no name")
    return name


def limits_out(limits: Limits) -> pb.Limits:
    """Of this side, or agreed."""
    return pb.Limits(
        mtu_bytes=limits.mtu_bytes,
        max_rd_atomic=limits.max_rd_atomic,
        max_inline_bytes=limits.max_inline_bytes,
        max_send_requests=limits.max_send_requests,
        max_receive_requests=limits.max_receive_requests,
    )


def limits_in(limits: pb.Limits) -> Limits:
    """A stranger's, checked."""
    need(limits.mtu_bytes in _MTU_BYTES, "its path MTU is none")
    need(limits.max_rd_atomic <= 255, "its READ depth is impossible")
    need(0 < limits.max_send_requests <= 1 << 20, "its send queue is impossible")
    need(limits.max_receive_requests <= 1 << 20, "its receive queue is impossible")
    need(limits.max_inline_bytes <= 1 << 16, "its inline limit is impossible")
    return Limits(
        mtu_bytes=limits.mtu_bytes,
        max_rd_atomic=limits.max_rd_atomic,
        max_inline_bytes=limits.max_inline_bytes,
        max_send_requests=limits.max_send_requests,
        max_receive_requests=limits.max_receive_requests,
    )


def pair_out(pair: PairAttributes) -> pb.PairAttributes:
    """Of this side."""
    return pb.PairAttributes(
        qp_num=pair.qp_num,
        psn=pair.psn,
        gid=pair.gid,
        lid=pair.lid,
        limits=limits_out(pair.limits),
        link_layer=LINK_LAYERS.index(pair.link_layer) + 1,  # type: ignore[arg-type]
        gid_kind=GID_KINDS.index(pair.gid_kind) + 1,  # type: ignore[arg-type]
        initiator_depth=pair.initiator_depth,
        responder_depth=pair.responder_depth,
        receives=pair.receives,
    )


def pair_in(pair: pb.PairAttributes) -> PairAttributes:
    """A stranger's, checked."""
    need(1 < pair.qp_num <= _QP_NUM_MAX, "its queue pair number is none")
    need(pair.psn <= _PSN_MAX, "its packet sequence number is none")
    need(len(pair.gid) == 16, "its GID has not 16 bytes")
    need(pair.lid < 1 << 16, "its LID is none")
    need(0 < pair.link_layer <= len(LINK_LAYERS), "its link layer is unknown")
    need(0 < pair.gid_kind <= len(GID_KINDS), "the kind of its GID is unknown")
    link_layer, gid_kind = LINK_LAYERS[pair.link_layer - 1], GID_KINDS[pair.gid_kind - 1]
    is_infiniband = link_layer == "InfiniBand"
    need(
        is_infiniband == (gid_kind == "InfiniBand"),
        f"{link_layer} has no GIDs of the kind {gid_kind}",
    )
    need(any(pair.gid) or (is_infiniband and pair.lid != 0), "neither GID nor LID says where it is")
    need(pair.gid[0] != 0xFF, "its GID is many ports' at once, not one's")
    need(is_infiniband or pair.lid == 0, "it has a LID on Ethernet")
    need(0 < pair.initiator_depth <= _DEPTH_MAX, "its READs in flight are impossible")
    need(0 < pair.responder_depth <= _DEPTH_MAX, "its READs to be answered are impossible")
    need(pair.receives <= _RECEIVES_MAX, "its receives are impossible")
    return PairAttributes(
        qp_num=pair.qp_num,
        psn=pair.psn,
        gid=pair.gid,
        gid_kind=gid_kind,
        lid=pair.lid,
        link_layer=link_layer,
        initiator_depth=pair.initiator_depth,
        responder_depth=pair.responder_depth,
        receives=pair.receives,
        limits=limits_in(pair.limits),
    )
