"""Gives a guest its network and its RDMA devices, as batches for `ip` and `rdma`.

Every node has two rxe devices on a wire of its own (a veth pair, both ends in the first network
namespace, since rxe of these kernels works in no other), and with several nodes one more on a wire
that all nodes share:

    rxe0  wire0  10.77.NODE.1/24
    rxe1  wire1  10.77.NODE.2/24
    rxe2  wire2  10.78.0.NODE+1/24

The kernel would send packets between two addresses of its own over loopback. So the rule that finds
local addresses is moved behind rules that route what *leaves* with one wire's address (`iif lo`)
out of that wire's device; what comes in still finds its address and is delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

WIRE_MTU_BYTES = 4300  # room for RoCE's largest payload (4096) and its headers


@dataclass(frozen=True, slots=True)
class Device:
    """One RDMA device of a guest, its network interface and address."""

    name: str
    interface: str
    address: str


def devices_of(node: int, node_count: int) -> list[Device]:
    """Return the devices of a node, both ends of its own wire first."""
    own = [Device(f"rxe{end}", f"wire{end}", f"10.77.{node}.{end + 1}") for end in (0, 1)]
    shared = [Device("rxe2", "wire2", f"10.78.0.{node + 1}")]
    return own + (shared if node_count > 1 else [])


def _mac(node: int, device: int, rig_id: int) -> str:
    """Return a locally administered address, the rig's, node's and device's own."""
    return f"02:{rig_id >> 8 & 0xFF:02x}:{rig_id & 0xFF:02x}:77:{node:02x}:{device:02x}"


def _own_wire(node: int, rig_id: int) -> list[str]:
    ends = devices_of(node, 1)
    macs = [_mac(node, end, rig_id) for end in (0, 1)]
    lines = [
        f"link add wire0 mtu {WIRE_MTU_BYTES} address {macs[0]} type veth "
        f"peer name wire1 mtu {WIRE_MTU_BYTES} address {macs[1]}",
        "rule add pref 100 lookup local",
        "rule del pref 0",
    ]
    for end, device in enumerate(ends):
        other, table = ends[1 - end], 201 + end
        lines += [
            f"address add {device.address}/24 dev {device.interface} noprefixroute",
            f"link set {device.interface} up",
            f"rule add pref {10 + end} iif lo from {device.address} to {other.address} "
            f"lookup {table}",
            f"neigh replace {other.address} lladdr {macs[1 - end]} dev {device.interface} "
            "nud permanent",
        ]
    # Routes last: a route needs its device to be up, and so the other end too.
    for end, device in enumerate(ends):
        other, table = ends[1 - end], 201 + end
        lines.append(
            f"route add {other.address}/32 dev {device.interface} src {device.address} "
            f"table {table}"
        )
    return lines


def _shared_wire(node: int, node_count: int, rig_id: int) -> list[str]:
    mac = _mac(node, 2, rig_id)
    address = devices_of(node, node_count)[2].address
    return [
        f"link set wire2 address {mac} mtu {WIRE_MTU_BYTES}",
        f"address add {address}/24 dev wire2",
        "link set wire2 up",
    ]


def repair(node: int, rig_id: int) -> str:
    """Return a batch for `ip` with what a link loses when it goes down.

    The wire between nodes loses only its connected route, which the kernel restores by itself.
    """
    lines = _own_wire(node, rig_id)
    kept = [line for line in lines if line.startswith(("neigh", "route"))]
    return "\n".join([line.replace("route add", "route replace") for line in kept]) + "\n"


def configuration(node: int, node_count: int, rig_id: int) -> list[str]:
    """Return the agent's configuration lines that make a node's network and RDMA devices."""
    lines = [
        "batch ip",
        "link set lo up",
        "link set eth0 up",
        "address add 10.0.2.15/24 dev eth0",
        "route add default via 10.0.2.2 dev eth0",
    ]
    if node_count > 1:
        lines.append("link set eth1 name wire2")
    lines += [*_own_wire(node, rig_id)]
    if node_count > 1:
        lines += _shared_wire(node, node_count, rig_id)
    lines.append("end")
    # Both ends belong to one kernel: it must accept packets from an address of its own.
    for end in ("all", "wire0", "wire1"):
        for name, value in (("accept_local", 1), ("rp_filter", 0)):
            lines.append(f"set /proc/sys/net/ipv4/conf/{end}/{name} {value}")
    lines.append("batch rdma")
    for device in devices_of(node, node_count):
        lines.append(f"link add {device.name} type rxe netdev {device.interface}")
    return [*lines, "end"]
