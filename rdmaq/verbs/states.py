"""Moves a reliable queue pair from state to state: RESET, INIT, RTR, RTS, and ERR at its end.

What each step must carry is in IBTA volume 1, table 91 (QP state transition properties).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rdmaq.errors import PairError
from rdmaq.verbs.address import PairAddress
from rdmaq.verbs.constants import (
    LINK_LAYER_INFINIBAND,
    MTU_CODES,
    TO_INIT,
    TO_RTR,
    TO_RTS,
    Access,
    QpAttr,
    QpState,
)
from rdmaq.verbs.gids import full_text
from rdmaq.verbs.library import load
from rdmaq.verbs.settings import PairSettings

# What the text of a refusal says where the two ends' GIDs do not fit together.
GIDS_DIFFER = "choose GIDs of one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What two sides come to, each by itself from both addresses.

    Attributes:
        mtu_bytes: the lesser.
        initiator_depth: READs and atomics of ours in flight: the lesser of what we may have in
            flight and what the peer answers.
        responder_depth: the same for the peer's.
    """

    mtu_bytes: int
    initiator_depth: int
    responder_depth: int


def agree(own: PairAddress, remote: PairAddress) -> Agreement:
    """Returns what holds between two queue pairs.

    Raises:
        PairError: they are on networks of different kinds.
    """
    if own.link_layer != remote.link_layer or own.gid_kind != remote.gid_kind:
        raise PairError(
            f"queue pair {own.qp_num} cannot reach {remote.qp_num}: we use {own.gid_kind} "
            f"({own.gid}), the peer {remote.gid_kind} ({remote.gid}); {GIDS_DIFFER} kind on both "
            " sides (gid_index=, interface= or reach= of rdmaq.verbs.open)"
        )
    if (own.gid.ipv4_mapped is None) != (remote.gid.ipv4_mapped is None):
        raise PairError(
            f"queue pair {own.qp_num} cannot reach {remote.qp_num}: one GID is IPv4 and the other "
            f"IPv6 ({own.gid}, {remote.gid}); {GIDS_DIFFER} family on both sides (gid_index=)"
        )
    return Agreement(
        mtu_bytes=min(own.mtu_bytes, remote.mtu_bytes),
        initiator_depth=min(own.initiator_depth, remote.responder_depth),
        responder_depth=min(own.responder_depth, remote.initiator_depth),
    )


def to_init(qp: Any, settings: PairSettings, port: int, remote_access: Access) -> None:
    """RESET to INIT: port, partition, and what the peer may do."""
    change = load().qp.QPAttr(qp_state=QpState.INIT, cur_qp_state=QpState.RESET)
    change.pkey_index = settings.pkey_index
    change.port_num = port
    change.qp_access_flags = int(remote_access)
    qp.modify(change, int(TO_INIT))


def to_rtr(
    qp: Any,
    settings: PairSettings,
    agreement: Agreement,
    remote: PairAddress,
    *,
    port: int,
    gid_index: int,
) -> None:
    """INIT to ready-to-receive: who the peer is and how to get there."""
    pyverbs = load()
    change = pyverbs.qp.QPAttr(qp_state=QpState.RTR, cur_qp_state=QpState.INIT)
    change.path_mtu = MTU_CODES[agreement.mtu_bytes]
    change.dest_qp_num = remote.qp_num
    change.rq_psn = remote.psn
    change.max_dest_rd_atomic = agreement.responder_depth
    change.min_rnr_timer = settings.min_rnr_timer
    route = pyverbs.addr.GlobalRoute(
        dgid=pyverbs.addr.GID(full_text(remote.gid)),
        sgid_index=gid_index,
        hop_limit=settings.hop_limit,
        traffic_class=settings.traffic_class,
        flow_label=settings.flow_label,
    )
    # Within one InfiniBand subnet the LID finds the port, and a null GID would find nobody.
    is_global = remote.link_layer != LINK_LAYER_INFINIBAND or not remote.lid
    change.ah_attr = pyverbs.addr.AHAttr(
        gr=route,
        is_global=int(is_global),
        port_num=port,
        dlid=remote.lid,
        sl=settings.service_level,
    )
    qp.modify(change, int(TO_RTR))


def to_rts(qp: Any, settings: PairSettings, agreement: Agreement, psn: int) -> None:
    """Ready-to-receive to ready-to-send: our time-outs and our first packet's number."""
    change = load().qp.QPAttr(qp_state=QpState.RTS, cur_qp_state=QpState.RTR)
    change.sq_psn = psn
    change.timeout = settings.timeout
    change.retry_cnt = settings.retry_count
    change.rnr_retry = settings.rnr_retry
    change.max_rd_atomic = agreement.initiator_depth
    qp.modify(change, int(TO_RTS))


def to_err(qp: Any) -> None:
    """Any state to ERR: all that is in flight is flushed, and nothing more arrives."""
    change = load().qp.QPAttr(qp_state=QpState.ERR)
    qp.modify(change, int(QpAttr.STATE))
