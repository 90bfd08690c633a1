"""Breaks the wires of a rig and heals them, from inside a guest or from outside.

Loss, delay, reordering, duplication, corruption and rate are netem's (tc-netem(8)), on what each
end sends. Every fault has a counter that moves when it did something: one that moved none was not
there, and a test that relied on it tested nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rdmaq.rig.errors import RigError

# Runs a command with the right to change the network; returns its output, raises RigError.
Runner = Callable[[Sequence[str], str], str]

NETEM = {
    "loss": "loss {}",
    "delay": "delay {}",
    "reorder": "delay 5ms reorder {}",  # what is reordered overtakes what is delayed
    "duplicate": "duplicate {}",
    "corrupt": "corrupt {}",
    "rate": "rate {}",
}
KINDS = (*NETEM, "down")
_AMOUNT = re.compile(r"\d+(\.\d+)?(%|us|ms|s|kbit|mbit|gbit)?( \d+(\.\d+)?(%|us|ms|s))?")

# What each kind moves: the qdisc's own counters, or the device's, by the part of their name.
# A duplicate or corrupt packet shows only at the receiver: a request out of sequence, a repeated
# request, an answer asked for again.
_MOVED_BY = {
    "loss": ("qdisc.drops",),
    "delay": ("qdisc.packets",),
    "reorder": ("qdisc.requeues",),
    "duplicate": ("hw.duplicate_request", "hw.out_of_seq_request", "hw.completer_retry_err"),
    "corrupt": ("hw.rcvd_seq_err", "hw.duplicate_request", "hw.completer_retry_err",
                "hw.out_of_seq_request", "hw.retry_exceeded_err", "udp.in_csum"),
    "rate": ("qdisc.packets",),
    "down": ("link.changes",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind, its amount in netem's words ("2%", "5ms", "5ms 1ms", "10mbit"), and where."""

    kind: str
    amount: str = ""
    interfaces: Sequence[str] = field(default=("wire0", "wire1"))

    def __post_init__(self) -> None:
        """Refuse what neither netem nor ip would understand."""
        if self.kind not in KINDS:
            raise RigError(f"there is no fault {self.kind!r}; use one of {', '.join(KINDS)}")
        if self.kind != "down" and not _AMOUNT.fullmatch(self.amount):
            raise RigError(
                f"{self.amount!r} is no amount of {self.kind}; "
                "use 2%, 5ms, '5ms 1ms' or 10mbit, as tc-netem(8) takes them"
            )


# A link that comes up tells its RDMA port some time later, from the kernel's link watch: for up to
# a second. /sys/class/infiniband/DEVICE/parent is the interface below an rxe device.
_AWAIT_PORTS = """
read up _ < /proc/uptime
end=$((${up%.*} + 10))
while :; do
  down=
  for interface in "$@"; do
    for parent in $(grep -lsx "$interface" /sys/class/infiniband/*/parent); do
      grep -qs ACTIVE "${parent%/parent}"/ports/1/state || down="$down $interface"
    done
  done
  [ -z "$down" ] && exit
  read up _ < /proc/uptime
  [ "${up%.*}" -gt "$end" ] && break
  sleep 0.1
done
echo $down
"""


def apply(fault: Fault, run: Runner) -> None:
    """Put a fault on its interfaces, in place of another one there."""
    for interface in fault.interfaces:
        if fault.kind == "down":
            run(["ip", "link", "set", interface, "down"], "")
        else:
            words = NETEM[fault.kind].format(fault.amount).split()
            run(["tc", "qdisc", "replace", "dev", interface, "root", "netem", *words], "")


def heal(run: Runner, repair: str, interfaces: Sequence[str]) -> None:
    """Take every fault off some interfaces; their RDMA ports are active when it returns.

    Args:
        run: runs a command with the right to change the network.
        repair: a batch for `ip`, which restores the routes and neighbours that a link loses when
            it goes down.
        interfaces: the network interfaces of the wires.

    Raises:
        RigError: a port did not become active; or as `run` does.
    """
    for interface in interfaces:
        if "netem" in run(["tc", "qdisc", "show", "dev", interface], ""):
            run(["tc", "qdisc", "del", "dev", interface, "root"], "")
        run(["ip", "link", "set", interface, "up"], "")
    run(["ip", "-force", "-batch", "-"], repair)
    if down := run(["sh", "-c", _AWAIT_PORTS, "sh", *interfaces], "").split():
        raise RigError(
            f"healed, and 10 s later the RDMA port of {' and '.join(down)} is not active; see "
            "`rdma link` and `ip link` in the guest, or take the rig down and up again"
        )


def counters(interfaces: Sequence[str], run: Runner) -> dict[str, int]:
    """Return what `moved()` compares: counters of qdiscs, links, checksums and devices, summed."""
    found: dict[str, int] = {}

    def add(name: str, value: int) -> None:
        found[name] = found.get(name, 0) + value

    for interface in interfaces:
        for qdisc in json.loads(run(["tc", "-s", "-j", "qdisc", "show", "dev", interface], "")):
            if qdisc["kind"] == "netem":
                for name in ("packets", "drops", "requeues"):
                    add(f"qdisc.{name}", int(qdisc[name]))
    # One process for all of it: under emulation each costs some 50 ms. grep's lines are
    # "PATH:VALUE".
    listing = (
        "grep -s . $(for i in $*; do echo /sys/class/net/$i/carrier_changes; done) "
        "/sys/class/infiniband/*/ports/*/hw_counters/*; grep ^Udp: /proc/net/snmp"
    )
    names = {"carrier_changes": "link.changes"}
    udp: list[list[str]] = []
    for line in run(["sh", "-c", listing, "sh", *interfaces], "").splitlines():
        if line.startswith("Udp:"):
            udp.append(line.split())
            continue
        path, _, value = line.rpartition(":")
        name = path.rpartition("/")[2]
        if value.isdigit() and name != "lifespan":
            add(names.get(name, f"hw.{name}"), int(value))
    add("udp.in_csum", int(dict(zip(*udp, strict=True))["InCsumErrors"]))
    return found


def before(interfaces: Sequence[str], run: Runner) -> dict[str, int]:
    """Return the counters before a fault: of a qdisc none, since its counters begin with it."""
    found = counters(interfaces, run)
    return {name: value for name, value in found.items() if not name.startswith("qdisc.")}


def moved(kind: str, before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return which counters of a kind of fault moved, and by how much; empty: it did nothing."""
    return {
        name: after[name] - before.get(name, 0)
        for name in _MOVED_BY[kind]
        if after.get(name, 0) > before.get(name, 0)
    }
