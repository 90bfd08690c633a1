"""All checks, and all that they can find."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rdmaq.doctor import (
    clocks,
    firewall,
    kernel,
    meeting,
    memory,
    mtu,
    opened,
    ports,
    software,
    way,
)
from rdmaq.doctor.finding import Finding
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.verdicts import Address

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
    for family in (meeting, memory, software, kernel, opened, ports, mtu, firewall, clocks, way)
    for symptom in family.SYMPTOMS
)


def examine(machine: Machine, peer: Address | None = None) -> list[Finding]:
    """Every check's findings, in order.

    Args:
        machine: to look at.
        peer: whose packets the firewall is asked about; None: anybody's.
    """
    found: list[Finding] = []
    for check in CHECKS:
        if check is firewall.check_firewall:
            found += firewall.check_firewall(machine, peer)
        else:
            found += check(machine)
    return found
