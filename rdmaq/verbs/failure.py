"""Says what an error completion means: the likely cause and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from rdmaq.verbs.constants import Status

_SETTINGS = "retries and time-outs are in PairSettings"

# status: (likely cause, cure)
MEANINGS: dict[int, tuple[str, str]] = {
    Status.LOC_LEN_ERR: (
        "the operation is longer than the port's messages may be, or a receive was too short",
        "send it in smaller parts (Device.limits.message_bytes_max)",
    ),
    Status.LOC_QP_OP_ERR: (
        "the device could not carry out the request as it was posted: too many bytes inline, or "
        "READs and atomics where max_rd_atomic is 0",
        "compare the request with the pair's granted attributes",
    ),
    Status.LOC_PROT_ERR: (
        "the local memory is not registered (any more), is of another domain, or too short",
        "use parts of a Memory of the pair's own domain, and keep it open until completion",
    ),
    Status.WR_FLUSH_ERR: (
        "it was thrown away with all that was in flight, since the queue pair is in the error "
        "state: an earlier operation failed, the local port went down or carries less than the MTU "
        "now, or the pair was closed; a wrong local key, and packets that this host's own firewall "
        "drops (4791/udp), show so, too, on rxe",
        "look at the first operation that failed and at the device's events, run `rdmaq doctor`, "
        "then connect a new pair",
    ),
    Status.MW_BIND_ERR: (
        "a memory window could not be bound",
        "check that window and memory are of one domain and allow binding",
    ),
    Status.BAD_RESP_ERR: (
        "the peer's answer made no sense",
        "check that both sides run sound firmware; connect a new pair",
    ),
    Status.LOC_ACCESS_ERR: (
        "what arrived could not be written to local memory: it is registered read-only",
        "register the memory for writing",
    ),
    Status.REM_INV_REQ_ERR: (
        "the peer's device refuses the request: longer than it takes, or an operation that the "
        "peer's queue pair does not allow (its `remote=` access)",
        "make the peer's pair with that access, or send smaller parts",
    ),
    Status.REM_ACCESS_ERR: (
        "the peer's memory does not allow it: a wrong or outdated key, beyond its bounds, of "
        "another domain, or registered without this access",
        "get a fresh RemoteMemory from the peer, stay within its length, and have it register with "
        "REMOTE_READ, REMOTE_WRITE or REMOTE_ATOMIC",
    ),
    Status.REM_OP_ERR: (
        "the peer's device could not complete it",
        "look at the peer's device events and kernel log",
    ),
    Status.RETRY_EXC_ERR: (
        "the peer does not answer: it was killed or closed its pair, the link is down, a firewall "
        "drops RoCE (4791/udp), the GID or its index is wrong for that network, a packet as large "
        "as the MTU does not get through (a smaller MTU of a switch or interface on the way), or "
        "it was never connected",
        "look for the cause with `rdmaq doctor HOST:PORT` (a node at the peer's host) and with "
        "`rdmaq doctor` on both hosts, mend it, then connect a new pair; " + _SETTINGS,
    ),
    Status.RNR_RETRY_EXC_ERR: (
        "the peer had no receive posted for a WRITE_WITH_IMM, for all the retries",
        "have the peer post receives before it grants them (receive_depth)",
    ),
    Status.REM_ABORT_ERR: ("the peer gave the operation up", "look at the peer's device events"),
    Status.FATAL_ERR: (
        "the device failed",
        "look at its events and the kernel log; open the device anew",
    ),
    Status.RESP_TIMEOUT_ERR: (
        "the peer's answer took too long",
        f"check the peer and the network; {_SETTINGS}",
    ),
    Status.GENERAL_ERR: (
        "the device says no more than that it failed",
        "look up the vendor error in its maker's manual, and the kernel log",
    ),
}
_OTHER = ("the device gives no reason that rdmaq knows", "look at the kernel log")
_UNKNOWN = (
    "its completion never came, so it may or may not have happened",
    "look at the device's events and the kernel log; connect a new pair",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """What an error's text says of a queue pair that was connected, or tried to be.

    Attributes:
        local: our GID, its kind and index, in words.
        remote: the peer's GID, "" before a connection.
        timers: the settings of time-outs and retries, in words.
        seconds_max: the bound within which a dead peer is noticed.
    """

    qp_num: int
    remote_qp_num: int
    device: str
    local: str
    remote: str
    mtu_bytes: int
    timers: str
    seconds_max: float

    def __str__(self) -> str:
        if not self.remote:
            return f"queue pair {self.qp_num} of {self.device}, GID {self.local}, not connected"
        return (
            f"queue pair {self.qp_num} of {self.device} to {self.remote_qp_num}, "
            f"GID {self.local} to {self.remote}, MTU {self.mtu_bytes}, {self.timers}, "
            f"ends within {self.seconds_max:.2g} s"
        )


def status_name(status: int) -> str:
    """The name that infiniband/verbs.h gives, without its prefix."""
    try:
        return Status(status).name
    except ValueError:
        return f"status {status}"


def explain(
    facts: PairFacts,
    *,
    opcode: str,
    length_bytes: int,
    status: int,
    vendor_error: int,
    is_unknown: bool = False,
    first: str = "",
    seen: str = "",
) -> str:
    """One text: what happened on which queue pair; the likely cause; what to do.

    Args:
        facts: the queue pair.
        opcode: "WRITE" and so on.
        length_bytes: of the operation, 0 where it is not known.
        status: enum ibv_wc_status.
        vendor_error: the device's own number.
        is_unknown: no completion came at all.
        first: the operation of the pair that failed before it, and how; "" where it is the first.
        seen: what the device told shortly before and what has changed since; "" for nothing.
    """
    what = f"{opcode} of {length_bytes:,} bytes" if length_bytes else opcode
    if is_unknown:
        name, (cause, cure) = "no completion", _UNKNOWN
    else:
        name = f"{status_name(status)} (vendor error {vendor_error:#x})"
        cause, cure = MEANINGS.get(status, _OTHER)
    if first and status in (Status.WR_FLUSH_ERR, Status.SUCCESS):
        cause = f"{cause}; the first to fail was a {first}"
    told = f"; seen: {seen}" if seen else ""
    return f"{what} failed with {name} on {facts}: {cause}{told}; {cure}"
