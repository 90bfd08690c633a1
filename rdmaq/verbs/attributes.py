"""What was granted to a queue pair, read back from the device after each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rdmaq.verbs.constants import MTU_BYTES, QpAttr, QpState

_QUERIED = (
    QpAttr.STATE
    | QpAttr.AV
    | QpAttr.PATH_MTU
    | QpAttr.TIMEOUT
    | QpAttr.RETRY_CNT
    | QpAttr.RNR_RETRY
    | QpAttr.RQ_PSN
    | QpAttr.MAX_QP_RD_ATOMIC
    | QpAttr.MIN_RNR_TIMER
    | QpAttr.SQ_PSN
    | QpAttr.MAX_DEST_RD_ATOMIC
    | QpAttr.CAP
    | QpAttr.DEST_QPN
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAttributes:
    """A queue pair as the device has it, which may be more or less than was asked for.

    Attributes:
        state: RESET, INIT, RTR, RTS or ERR.
        send_depth: requests that may be in flight.
        receive_depth: receives that may be posted.
        inline_bytes: what fits into a request itself.
        mtu_bytes: bytes per packet; 0 before a connection, as for all that follow.
        initiator_depth: READs and atomics of ours in flight.
        responder_depth: READs and atomics of the peer's that are answered at once.
    """

    state: QpState
    send_depth: int
    receive_depth: int
    inline_bytes: int
    mtu_bytes: int
    timeout: int
    retry_count: int
    rnr_retry: int
    min_rnr_timer: int
    initiator_depth: int
    responder_depth: int
    send_psn: int
    receive_psn: int
    remote_qp_num: int


def read(qp: Any) -> PairAttributes:
    """Asks the device about pyverbs' QP; raises pyverbs' error where it refuses."""
    now, made = qp.query(int(_QUERIED))
    state = QpState(now.qp_state)
    is_connected = state in (QpState.RTR, QpState.RTS, QpState.SQD)
    return PairAttributes(
        state=state,
        send_depth=made.cap.max_send_wr,
        receive_depth=made.cap.max_recv_wr,
        inline_bytes=made.cap.max_inline_data,
        mtu_bytes=MTU_BYTES.get(now.path_mtu, 0) if is_connected else 0,
        timeout=now.timeout,
        retry_count=now.retry_cnt,
        rnr_retry=now.rnr_retry,
        min_rnr_timer=now.min_rnr_timer,
        initiator_depth=now.max_rd_atomic,
        responder_depth=now.max_dest_rd_atomic,
        send_psn=now.sq_psn,
        receive_psn=now.rq_psn,
        remote_qp_num=now.dest_qp_num,
    )
