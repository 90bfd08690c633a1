"""Lists RDMA ports, as the kernel shows them in /sys; needs neither pyverbs nor a device."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path

from rdmaq.verbs.gids import INFINIBAND, ROCE_V1, ROCE_V2, Gid

SYSFS = Path("/sys/class")
_TYPES = {"IB/RoCE v1": ROCE_V1, "RoCE v1": ROCE_V1, "RoCE v2": ROCE_V2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of an RDMA device.

    Attributes:
        device: the device's name: "mlx5_0", "rxe0".
        number: from 1.
        state: "ACTIVE", or why not: "DOWN", "INIT", "ARMED".
        link_layer: "Ethernet" or "InfiniBand".
        gids: the entries of its table that are filled, by index.
        interfaces: the network interfaces on it.
    """

    device: str
    number: int
    state: str
    link_layer: str
    gids: tuple[Gid, ...]
    interfaces: tuple[str, ...]

    @property
    def is_active(self) -> bool:
        """Whether it can carry traffic now."""
        return self.state == "ACTIVE"

    def __str__(self) -> str:
        return f"{self.device} port {self.number}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # an empty slot's attributes cannot be read
        return ""


def _gids(folder: Path, link_layer: str) -> tuple[Gid, ...]:
    found = []
    for path in sorted(folder.glob("gids/*"), key=lambda path: int(path.name)):
        try:
            value = IPv6Address(_read(path))
        except AddressValueError:
            continue
        kind = _TYPES.get(_read(folder / "gid_attrs" / "types" / path.name), ROCE_V1)
        if link_layer == "InfiniBand":
            kind = INFINIBAND
        elif value == IPv6Address(0):
            continue  # an empty slot: an Ethernet port has no other null GID
        interface = _read(folder / "gid_attrs" / "ndevs" / path.name)
        found.append(Gid(index=int(path.name), value=value, kind=kind, interface=interface))
    return tuple([gid for gid in found if not gid.is_null] or found[:1])


def _netdevs(sysfs: Path, device: str, number: int) -> set[str]:
    """The interfaces that stand on the same hardware port (IPoIB has no other trace of it)."""
    found = set()
    for net in (sysfs / "infiniband" / device / "device" / "net").glob("*"):
        if _read(net / "dev_port") in {"", str(number - 1)}:
            found.add(net.name)
    return found


def ports(sysfs: Path = SYSFS) -> list[Port]:
    """Returns every port of every RDMA device, by name; an empty list where there is none."""
    found = []
    for folder in sysfs.glob("infiniband/*/ports/*"):
        device, number = folder.parent.parent.name, int(folder.name)
        link_layer = _read(folder / "link_layer") or "InfiniBand"
        gids = _gids(folder, link_layer)
        interfaces = {gid.interface for gid in gids if gid.interface}
        found.append(
            Port(
                device=device,
                number=number,
                state=_read(folder / "state").rpartition(" ")[2],  # "4: ACTIVE"
                link_layer=link_layer,
                gids=gids,
                interfaces=tuple(sorted(interfaces | _netdevs(sysfs, device, number))),
            )
        )
    return sorted(found, key=lambda port: (port.device, port.number))
