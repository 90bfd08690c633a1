"""Ports and their GIDs: whether they can carry traffic, and whether anybody can be reached."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine
from rdmaq.verbs.devices import Port
from rdmaq.verbs.gids import ROCE_V1

_INFINIBAND = "InfiniBand"

PORT_INTERFACE_DOWN = Symptom(
    name="port-interface-down",
    check="ports",
    level=BAD,
    words="{port} is {state}: its interface {interface} is down",
    cure="ip link set {interface} up (as root)",
)
PORT_NO_CARRIER = Symptom(
    name="port-no-carrier",
    check="ports",
    level=BAD,
    words="{port} is {state}: its interface {interface} is up, and hears nobody at the other end",
    cure="check the cable, and that the other end is up (ethtool {interface}; the switch's port)",
)
PORT_NO_MANAGER = Symptom(
    name="port-no-subnet-manager",
    check="ports",
    level=BAD,
    words="{port} is {state}: no subnet manager has made it active",
    cure="run opensm on one host of the subnet (apt-get install opensm), or the switch's own",
)
PORT_DOWN = Symptom(
    name="port-down",
    check="ports",
    level=BAD,
    words="{port} is {state}",
    cure="check the cable and `rdma link`; see dmesg",
)
GID_NONE = Symptom(
    name="gid-none",
    check="gids",
    level=BAD,
    words="{port} has no GID: nobody can be reached by it",
    cure="bring its network interface up and give it an address (ip address add ADDRESS/BITS dev "
    "NAME); in a container: share the host's network namespace, whose GIDs they are",
)
GID_LINK_LOCAL = Symptom(
    name="gid-link-local",
    check="gids",
    level=BAD,
    words="{port} has link-local GIDs only: its interface {interfaces} has no IP address",
    cure="ip address add ADDRESS/BITS dev {interfaces} (as root), and in the network's settings",
)
GID_ROCE_V1 = Symptom(
    name="gid-roce-v1",
    check="gids",
    level=NOTE,
    words="{port} has GIDs of RoCE v1 only: it reaches peers of its own Ethernet segment that use "
    "RoCE v1, too",
    cure="update the adapter's driver and firmware for RoCE v2; if both ends are such, it works "
    "without routers between",
)
GID_INTERFACE_DOWN = Symptom(
    name="gid-interface-down",
    check="gids",
    level=BAD,
    words="{port}: GID {gid} is of {interface}, which is down",
    cure="ip link set {interface} up (as root), or choose another GID (gid_index= or interface=)",
)
SYMPTOMS = (
    PORT_INTERFACE_DOWN, PORT_NO_CARRIER, PORT_NO_MANAGER, PORT_DOWN, GID_NONE, GID_LINK_LOCAL,
    GID_ROCE_V1, GID_INTERFACE_DOWN,
)  # fmt: skip


def check_ports(machine: Machine) -> Iterator[Finding]:
    """Ports that are not active; that is bad where no other one is."""
    ports = machine.ports
    active = [port for port in ports if port.is_active]
    if active:
        yield fine("ports", f"active: {', '.join(map(str, active))}")
    for port in ports:
        if not port.is_active:
            yield _inactive(machine, port, NOTE if active else BAD)


def _inactive(machine: Machine, port: Port, level: str) -> Finding:
    state = port.state or "of no known state"
    if port.link_layer == _INFINIBAND and port.state in ("INIT", "ARMED"):
        return PORT_NO_MANAGER.found(level=level, port=port, state=state)
    for name in port.interfaces:
        is_up = machine.interface_is_up(name)
        symptom = PORT_NO_CARRIER if is_up else PORT_INTERFACE_DOWN
        return symptom.found(level=level, port=port, state=state, interface=name)
    return PORT_DOWN.found(level=level, port=port, state=state)


def check_gids(machine: Machine) -> Iterator[Finding]:
    """Whether each active port has a GID by which it can be reached."""
    for port in machine.ports:
        if port.is_active:
            yield from _gids_of(machine, port)


def _gids_of(machine: Machine, port: Port) -> Iterator[Finding]:
    if not port.gids:
        yield GID_NONE.found(port=port)
        return
    if port.link_layer == _INFINIBAND:  # where a link-local GID is the rule
        yield fine("gids", f"{port}: {port.gids[0]}")
        return
    routable = [gid for gid in port.gids if not gid.is_link_local and not gid.is_null]
    if not routable:
        interfaces = ", ".join(port.interfaces) or "NAME"
        yield GID_LINK_LOCAL.found(port=port, interfaces=interfaces)
        return
    if all(gid.kind == ROCE_V1 for gid in routable):
        yield GID_ROCE_V1.found(port=port)
        return
    down = [gid for gid in routable if gid.interface and not machine.interface_is_up(gid.interface)]
    for gid in down:
        yield GID_INTERFACE_DOWN.found(port=port, gid=gid, interface=gid.interface)
    shown = ", ".join(str(gid) for gid in routable if gid not in down)
    if shown:
        yield fine("gids", f"{port}: {shown}")
