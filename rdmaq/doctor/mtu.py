"""Packet sizes: what a port sends, against what the network interfaces below carry."""

from __future__ import annotations

from collections.abc import Iterator

from rdmaq.doctor.finding import BAD, NOTE, Finding, Symptom, fine
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.opened import look

# IP (40, version 6), UDP, base transport header, RETH, immediate data, checksum, rounded up: what a
# packet of RoCE v2 has beside its payload (IBTA annex A17 and volume 1, chapter 9).
HEADER_BYTES_MAX = 80
MTU_BYTES = (256, 512, 1024, 2048, 4096)

SMALL = Symptom(
    name="mtu-small",
    check="mtu",
    level=NOTE,
    words="{port} sends packets of {mtu} bytes and could of {best}: its interface {interface} "
    "carries {carried}",
    cure="ip link set {interface} mtu {needed}, if every switch and peer on the way carries as "
    "much; else leave it",
)
INTERFACE_LESS = Symptom(
    name="mtu-interface-less",
    check="mtu",
    level=BAD,
    words="{port} sends packets of {mtu} bytes and their headers, and GID {gid} is of {interface}, "
    "which carries {carried}: large ones are lost",
    cure="ip link set {interface} mtu {needed}, or set mtu_bytes={fitting} in PairSettings",
)
SYMPTOMS = (SMALL, INTERFACE_LESS)


def check_mtu(machine: Machine) -> Iterator[Finding]:
    """Each active Ethernet port whose device can be opened: only the device knows what it sends."""
    for port in machine.ports:
        if not port.is_active or port.link_layer == "InfiniBand":
            continue
        limits = look(machine, port).limits
        if limits is None:
            continue
        found = False
        for gid in port.gids:
            carried = machine.interface_mtu_bytes(gid.interface)
            if gid.is_link_local or not carried or carried >= limits.mtu_bytes + HEADER_BYTES_MAX:
                continue
            found = True
            yield INTERFACE_LESS.found(
                port=port,
                mtu=limits.mtu_bytes,
                gid=gid,
                interface=gid.interface,
                carried=carried,
                needed=limits.mtu_bytes + HEADER_BYTES_MAX,
                fitting=fitting(carried),
            )
        for name in port.interfaces[:1]:
            if limits.mtu_bytes < limits.mtu_bytes_max and not found:
                found = True
                yield SMALL.found(
                    port=port,
                    mtu=limits.mtu_bytes,
                    best=limits.mtu_bytes_max,
                    interface=name,
                    carried=machine.interface_mtu_bytes(name),
                    needed=limits.mtu_bytes_max + HEADER_BYTES_MAX,
                )
        if not found:
            yield fine("mtu", f"{port} sends packets of {limits.mtu_bytes} bytes")


def fitting(carried_bytes: int) -> int:
    """The largest MTU of RDMA whose packets fit into so many bytes; at least 256."""
    return max(
        [size for size in MTU_BYTES if size + HEADER_BYTES_MAX <= carried_bytes],
        default=MTU_BYTES[0],
    )
