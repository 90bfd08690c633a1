"""All checks, and all that they can find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdmaq.doctor import clocks, firewall, kernel, meeting, memory, mtu, opened, ports, software
from rdmaq.doctor.finding import Finding
from rdmaq.doctor.machine import Machine

CHECKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    meeting.check_shm,
    memory.check_memlock,
    memory.check_hugepages,
    software.check_net,
    software.check_extension,
    software.check_pyverbs,
    kernel.check_devices,
    opened.check_open,
    ports.check_ports,
    ports.check_gids,
    mtu.check_mtu,
    firewall.check_firewall,
    clocks.check_clock,
)
SYMPTOMS = tuple(
    symptom
    for family in (meeting, memory, software, kernel, opened, ports, mtu, firewall, clocks)
    for symptom in family.SYMPTOMS
)


def examine(machine: Machine) -> list[Finding]:
    """Every check's findings, in order."""
    return [finding for check in CHECKS for finding in check(machine)]
