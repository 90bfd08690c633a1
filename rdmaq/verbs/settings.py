"""What may be tuned about a queue pair, in one place; every bound is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rdmaq._fast import lib
from rdmaq.errors import PairError
from rdmaq.verbs.constants import MTU_CODES

ACK_UNIT_SECONDS = 4.096e-6
# A device may take up to four times the time-out before it notices (IBTA volume 1, 9.7.6.1.3).
_SLACK = 4

# What min_rnr_timer stands for, in seconds, by its code (IBTA volume 1, table 45).
RNR_SECONDS = tuple(
    ms / 1000
    for ms in (
        655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28,
        1.92, 2.56, 3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88,
        163.84, 245.76, 327.68, 491.52,
    )
)  # fmt: skip

WAIT_MODES = {
    "auto": lib.RQ_WAIT_AUTO,
    "spin": lib.RQ_WAIT_SPIN,
    "yield": lib.RQ_WAIT_YIELD,
    "sleep": lib.RQ_WAIT_SLEEP,
}

# name: (lowest, highest, why not more or less)
_BOUNDS = {
    "timeout": (1, 31, "0 waits for ever"),
    "retry_count": (0, 6, "7 is endless on some devices (rxe), and then a dead peer is never told"),
    "rnr_retry": (0, 6, "7 is endless"),
    "min_rnr_timer": (0, 31, "it is a code of 5 bits"),
    "send_depth": (4, 16384, "the device's own limit may be lower"),
    "receive_depth": (0, 16384, "the device's own limit may be lower"),
    "inline_bytes": (0, 4096, "the device's own limit may be lower"),
    "max_rd_atomic": (0, 255, "it is a number of 8 bits; 0 allows neither READs nor atomics"),
    "traffic_class": (0, 255, "it is a number of 8 bits"),
    "flow_label": (0, (1 << 20) - 1, "it is a number of 20 bits"),
    "service_level": (0, 15, "it is a number of 4 bits"),
    "hop_limit": (1, 255, "0 reaches nobody"),
    "pkey_index": (0, 65535, "it is a place in the port's table"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """How a queue pair behaves. The defaults suit a loaded network and end within seconds.

    Attributes:
        timeout: how long to wait for an answer, as the exponent in 4.096 µs x 2^timeout
            (16: 0.27 s). The device may take up to four times as long to notice.
        retry_count: how often to send again after a time-out; at most 6.
        rnr_retry: how often to try again when the peer has no receive ready; at most 6.
        min_rnr_timer: how long a peer without a receive of ours shall wait, a code (12: 0.64 ms).
        send_depth: requests that may be in flight.
        receive_depth: receives kept posted for the peer's WRITE_WITH_IMM.
        inline_bytes: up to so many bytes travel within the request itself; the grant may be more.
        max_rd_atomic: READs and atomics in flight, each way; the lesser of both sides holds.
        mtu_bytes: bytes per packet: 256, 512, 1024, 2048, 4096; None: the least of both ports.
        traffic_class: of the IP header (DSCP and ECN), for RoCE v2.
        flow_label: of the IP header, or 0; RoCE v2 devices derive the UDP source port from it.
        service_level: of InfiniBand, and the priority of RoCE v1.
        hop_limit: routers that a packet may pass.
        pkey_index: which partition, by its place in the port's table.
        stall_seconds: a device that completes nothing for so long, though it has requests and its
            own time-outs are over, stands still: the pair is ended, and with it all in flight.
        wait: how a thread waits: "sleep" (on the completion channel), "spin", "yield", or "auto":
            spin for some microseconds, then sleep.
    """

    timeout: int = 16
    retry_count: int = 6
    rnr_retry: int = 6
    min_rnr_timer: int = 12
    send_depth: int = 128
    receive_depth: int = 32
    inline_bytes: int = 64
    max_rd_atomic: int = 16
    mtu_bytes: int | None = None
    traffic_class: int = 0
    flow_label: int = 0
    service_level: int = 0
    hop_limit: int = 64
    pkey_index: int = 0
    stall_seconds: float = 30.0
    wait: str = "auto"

    def __post_init__(self) -> None:
        """Refuses what no queue pair can have, and what would make an error wait for ever."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "mtu_bytes":
                if value is not None and value not in MTU_CODES:
                    raise PairError(
                        f"mtu_bytes={value!r} is not possible: the MTU of RDMA is one of "
                        f"{', '.join(map(str, MTU_CODES))} bytes; leave it out for the least of "
                        "both ports"
                    )
                continue
            if field.name == "stall_seconds":
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not is_number or not 0.1 <= value <= 3600:
                    raise PairError(
                        f"stall_seconds={value!r} is not possible: without an end a device that "
                        "stands still is waited for; use 0.1 to 3600 seconds"
                    )
                continue
            if field.name == "wait":
                if value not in WAIT_MODES:
                    raise PairError(
                        f"wait={value!r} is no way to wait; use one of {', '.join(WAIT_MODES)}"
                    )
                continue
            low, high, why = _BOUNDS[field.name]
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if not is_number or not low <= value <= high:
                raise PairError(
                    f"{field.name}={value!r} is not possible: {why}; "
                    f"use a whole number from {low} to {high:,}"
                )

    @property
    def ack_seconds(self) -> float:
        """How long the time-out is, in seconds."""
        return ACK_UNIT_SECONDS * 2.0**self.timeout

    @property
    def failure_seconds_max(self) -> float:
        """Within so many seconds a request fails whose peer does not answer (any more).

        The sum of: every try's time-out, four times as long as set, which the standard allows a
        device; and every wait for a receive, taking the peer's timer to be as ours.
        """
        retries = (self.retry_count + 1) * _SLACK * self.ack_seconds
        return retries + (self.rnr_retry + 1) * RNR_SECONDS[self.min_rnr_timer]

    def __str__(self) -> str:
        return (
            f"timeout {self.timeout} ({self.ack_seconds:.2g} s), retries {self.retry_count}, "
            f"rnr retries {self.rnr_retry}, rnr timer {self.min_rnr_timer}"
        )
