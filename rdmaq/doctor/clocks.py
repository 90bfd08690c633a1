"""Clocks: latencies across processes need one counter; across hosts, synchronised clocks."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.clock import kind as clock_kind
from rdmaq.doctor.finding import NOTE, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine

_TRUSTED = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page")

CLOCK_DISTRUSTED = Symptom(
    name="clock-distrusted",
    check="clock",
    level=NOTE,
    words="ticks: {kind}; the kernel's clock source: {source}: the kernel did not trust the "
    "counter that rdmaq stamps with",
    cure="look at `dmesg | grep -i tsc`; if it says unstable, compare no ticks",
)
CLOCK_UNSYNCHRONISED = Symptom(
    name="clock-unsynchronised",
    check="clock",
    level=NOTE,
    words="nothing synchronises the clock: times of this host and another's cannot be compared",
    cure="run chrony or systemd-timesyncd (timedatectl set-ntp true); for microseconds ptp4l with "
    "phc2sys",
)
SYMPTOMS = (CLOCK_DISTRUSTED, CLOCK_UNSYNCHRONISED)


def check_clock(machine: Machine) -> Iterator[Finding]:
    """The counter that frames are stamped with, and the time of day."""
    source = machine.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
    source = source or "unknown"
    if clock_kind() == "tsc" and source not in _TRUSTED:
        yield CLOCK_DISTRUSTED.found(kind=clock_kind(), source=source)
    else:
        yield fine("clock", f"ticks: {clock_kind()}; the kernel's clock source: {source}")
    if machine.clock_is_synchronised():
        yield fine("clock", "the clock is synchronised")
    else:
        yield CLOCK_UNSYNCHRONISED.found()
