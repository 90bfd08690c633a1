"""Numbers of the verbs interface that rdmaq uses, by the names of infiniband/verbs.h.

They are part of the kernel's ABI (include/uapi/rdma/ib_user_verbs.h) and never change, so nothing
of pyverbs is imported for them: its modules were renamed between releases.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

MTU_BYTES = {1: 256, 2: 512, 3: 1024, 4: 2048, 5: 4096}
MTU_CODES = {size_bytes: code for code, size_bytes in MTU_BYTES.items()}

QP_TYPE_RC = 2
LINK_LAYER_INFINIBAND = 1
LINK_LAYER_ETHERNET = 2
ATOMIC_NONE, ATOMIC_GLOBAL = 0, 2  # enum ibv_atomic_cap; 1: among the device's own
MW_TYPE_2 = 2
WR_BIND_MW = 8
SEND_SIGNALED = 2
DEVICE_MEM_WINDOW_TYPE_2B = 1 << 24
PORT_ACTIVE = 4


class Access(IntFlag):
    """What the NIC may do with registered memory. LOCAL_WRITE is added where it can be.

    Attributes:
        LOCAL_WRITE: READs and atomics of this side may land there.
        REMOTE_WRITE: a peer may WRITE there.
        REMOTE_READ: a peer may READ it.
        REMOTE_ATOMIC: a peer may add and compare-and-swap there.
        WINDOWS: parts of it may be opened to single pairs (`Pair.window`), and taken back.
        RELAXED_ORDERING: the device may reorder what it writes (never for rings).
    """

    NONE = 0
    LOCAL_WRITE = 1
    REMOTE_WRITE = 2
    REMOTE_READ = 4
    REMOTE_ATOMIC = 8
    WINDOWS = 16
    RELAXED_ORDERING = 1 << 20


class QpState(IntEnum):
    """States of a queue pair (IBTA volume 1, 10.3.1)."""

    RESET = 0
    INIT = 1
    RTR = 2
    RTS = 3
    SQD = 4
    SQE = 5
    ERR = 6
    UNKNOWN = 7


class QpAttr(IntFlag):
    """Which attributes a change of state carries (enum ibv_qp_attr_mask)."""

    STATE = 1 << 0
    ACCESS_FLAGS = 1 << 3
    PKEY_INDEX = 1 << 4
    PORT = 1 << 5
    AV = 1 << 7
    PATH_MTU = 1 << 8
    TIMEOUT = 1 << 9
    RETRY_CNT = 1 << 10
    RNR_RETRY = 1 << 11
    RQ_PSN = 1 << 12
    MAX_QP_RD_ATOMIC = 1 << 13
    MIN_RNR_TIMER = 1 << 15
    SQ_PSN = 1 << 16
    MAX_DEST_RD_ATOMIC = 1 << 17
    CAP = 1 << 19
    DEST_QPN = 1 << 20


TO_INIT = QpAttr.STATE | QpAttr.PKEY_INDEX | QpAttr.PORT | QpAttr.ACCESS_FLAGS
TO_RTR = (
    QpAttr.STATE
    | QpAttr.AV
    | QpAttr.PATH_MTU
    | QpAttr.DEST_QPN
    | QpAttr.RQ_PSN
    | QpAttr.MAX_DEST_RD_ATOMIC
    | QpAttr.MIN_RNR_TIMER
)
TO_RTS = (
    QpAttr.STATE
    | QpAttr.SQ_PSN
    | QpAttr.TIMEOUT
    | QpAttr.RETRY_CNT
    | QpAttr.RNR_RETRY
    | QpAttr.MAX_QP_RD_ATOMIC
)


class Status(IntEnum):
    """Why a completion is not a success (enum ibv_wc_status)."""

    SUCCESS = 0
    LOC_LEN_ERR = 1
    LOC_QP_OP_ERR = 2
    LOC_EEC_OP_ERR = 3
    LOC_PROT_ERR = 4
    WR_FLUSH_ERR = 5
    MW_BIND_ERR = 6
    BAD_RESP_ERR = 7
    LOC_ACCESS_ERR = 8
    REM_INV_REQ_ERR = 9
    REM_ACCESS_ERR = 10
    REM_OP_ERR = 11
    RETRY_EXC_ERR = 12
    RNR_RETRY_EXC_ERR = 13
    LOC_RDD_VIOL_ERR = 14
    REM_INV_RD_REQ_ERR = 15
    REM_ABORT_ERR = 16
    INV_EECN_ERR = 17
    INV_EEC_STATE_ERR = 18
    FATAL_ERR = 19
    RESP_TIMEOUT_ERR = 20
    GENERAL_ERR = 21


class EventKind(IntEnum):
    """What the device tells by itself (enum ibv_event_type)."""

    CQ_ERR = 0
    QP_FATAL = 1
    QP_REQ_ERR = 2
    QP_ACCESS_ERR = 3
    COMM_EST = 4
    SQ_DRAINED = 5
    PATH_MIG = 6
    PATH_MIG_ERR = 7
    DEVICE_FATAL = 8
    PORT_ACTIVE = 9
    PORT_ERR = 10
    LID_CHANGE = 11
    PKEY_CHANGE = 12
    SM_CHANGE = 13
    SRQ_ERR = 14
    SRQ_LIMIT_REACHED = 15
    QP_LAST_WQE_REACHED = 16
    CLIENT_REREGISTER = 17
    GID_CHANGE = 18
    WQ_FATAL = 19
    OTHER = -1

    @classmethod
    def _missing_(cls, _: object) -> EventKind:
        """Kinds that a newer kernel has: to be told of one must not fail."""
        return cls.OTHER


PORT_EVENTS = frozenset(
    {
        EventKind.PORT_ACTIVE,
        EventKind.PORT_ERR,
        EventKind.LID_CHANGE,
        EventKind.PKEY_CHANGE,
        EventKind.SM_CHANGE,
        EventKind.CLIENT_REREGISTER,
        EventKind.GID_CHANGE,
    }
)
PAIR_EVENTS = frozenset(
    {
        EventKind.QP_FATAL,
        EventKind.QP_REQ_ERR,
        EventKind.QP_ACCESS_ERR,
        EventKind.COMM_EST,
        EventKind.SQ_DRAINED,
        EventKind.QP_LAST_WQE_REACHED,
    }
)
