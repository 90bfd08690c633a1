"""Ticks: the cheapest clock of the machine, comparable between its processes.

On x86-64 with an invariant counter a tick is one step of the time-stamp counter (Intel SDM volume
3, 'Time-Stamp Counter'), else one nanosecond of CLOCK_MONOTONIC_RAW. Publishers stamp frames with
ticks; what they mean in wall-clock time stands in the publisher's own table in the segment.
"""

from __future__ import annotations

from rdmaq._fast import lib


def ticks() -> int:
    """The counter now. Only differences mean something, and only on one host. Raises nothing."""
    return int(lib.rq_clock_ticks())


def ticks_to_ns(tick_count: int) -> int:
    """Nanoseconds that `tick_count` ticks last, by this process's calibration.

    The rate is measured over the life of the process: good to about 1e-5 after 10 ms, and to
    1e-7 after a second.

    Raises:
        OverflowError: `tick_count` is negative or has more than 64 bits.
    """
    return int(lib.rq_clock_ticks_to_ns(tick_count))


def kind() -> str:
    """Which counter is used: "tsc" or "monotonic_raw". Raises nothing."""
    return "tsc" if lib.rq_clock_kind() == 1 else "monotonic_raw"
