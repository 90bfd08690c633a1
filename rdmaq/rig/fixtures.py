"""What the fixtures of the pytest plugin give to a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from rdmaq.rig import faults, wires
from rdmaq.rig.devices import RdmaDevice
from rdmaq.rig.errors import RigError


@dataclass(frozen=True, slots=True)
class RdmaWire:
    """Two ports that reach each other."""

    left: RdmaDevice
    right: RdmaDevice

    def packets(self) -> int:
        """Return how many packets both ports have sent, where the devices count them."""
        return sum(end.counters().get("sent_pkts", 0) for end in (self.left, self.right))


def wire_of(devices: Sequence[RdmaDevice]) -> RdmaWire:
    """Return the first two active ports, or the only one twice (an RC pair may loop back)."""
    active = [device for device in devices if device.is_active]
    if not active:
        pytest.fail(f"no port is active: {', '.join(device.name for device in devices)}")
    return RdmaWire(active[0], active[1] if len(active) > 1 else active[0])


def _run_here(words: Sequence[str], text: str) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    answer = subprocess.run(
        list(words), input=text, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    if answer.returncode and "-force" not in words:
        raise RigError(f"{' '.join(words)}: {answer.stderr.strip()}")
    return answer.stdout


class FaultInjector:
    """Breaks a wire inside a rig; every fault is measured by its counters.

    Attributes:
        idle: kinds of faults that moved no counter; the fixture fails the test for them.
    """

    def __init__(self, wire: RdmaWire) -> None:
        if "RDMAQ_RIG" not in os.environ:
            pytest.skip("faults are injected inside a rig only; run with --rdmaq-rig")
        self._interfaces = sorted({wire.left.interface, wire.right.interface})
        self._on: tuple[str, dict[str, int]] | None = None
        self.idle: list[str] = []

    @contextmanager
    def __call__(self, kind: str, amount: str = "") -> Iterator[None]:
        """Put a fault on both ends while the block runs."""
        self.inject(kind, amount)
        try:
            yield
        finally:
            self.heal()

    def inject(self, kind: str, amount: str = "", *, interface: str | None = None) -> None:
        """Put a fault on both ends, or on one, until `heal()`; one at a time.

        Args:
            kind: loss, delay, reorder, duplicate, corrupt, rate, down.
            amount: in netem's words: "2%", "5ms", "5ms 1ms", "10mbit"; none for down.
            interface: one end's network interface; both ends by default.
        """
        self.heal()
        where = [interface] if interface else self._interfaces
        fault = faults.Fault(kind, amount, where)
        self._on = (kind, faults.before(self._interfaces, _run_here))
        faults.apply(fault, _run_here)

    def heal(self) -> None:
        """Take the fault off, and note whether it did anything."""
        if self._on is None:
            return
        kind, before = self._on
        self._on = None
        if not faults.moved(kind, before, faults.counters(self._interfaces, _run_here)):
            self.idle.append(kind)
        node = int(os.environ.get("RDMAQ_RIG_NODE", "0"))
        rig_id = int(os.environ.get("RDMAQ_RIG_ID", "0"))
        faults.heal(_run_here, wires.repair(node, rig_id), self._interfaces)
