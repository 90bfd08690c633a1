"""Lists RDMA ports, as the kernel shows them in /sys; needs neither pyverbs nor a device."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path

from rdmaq.verbs.gids import INFINIBAND, ROCE_V1, ROCE_V2, Gid

SYSFS = Path("/sys/class")
_NULL_TEXT = ":".join(["0000"] * 8)
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


@dataclass(frozen=True, slots=True)
class Door:
    """By which a process opens a device: gone, or another one's, once the device was removed.

    Attributes:
        device: which it is of.
        path: in /sys.
        inode: of that folder; each has its own.
    """

    device: str
    path: Path
    inode: int

    @classmethod
    def of(cls, device: str, sysfs: Path = SYSFS) -> Door | None:
        """The device's now; None: the kernel shows none."""
        for path in sysfs.glob("infiniband_verbs/uverbs*"):
            if _read(path / "ibdev") == device:
                with suppress(OSError):
                    return cls(device, path, path.stat().st_ino)
        return None

    @property
    def is_there(self) -> bool:
        """Whether it is still there: a device that was made again has another."""
        try:
            return self.path.stat().st_ino == self.inode
        except OSError:
            return False


def _read(path: Path | str) -> str:
    # Not Path.read_text: a GID table may have a thousand slots, and each is a file.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 256).decode("ascii", "replace").strip()
    except OSError:  # an empty slot's attributes cannot be read
        return ""
    finally:
        os.close(fd)


def _gids(folder: Path, link_layer: str) -> tuple[Gid, ...]:
    try:
        slots = sorted(int(path.name) for path in (folder / "gids").iterdir())
    except (OSError, ValueError):
        slots = []
    texts = {slot: _read(f"{folder}/gids/{slot}") for slot in slots}
    filled = [slot for slot in slots if texts[slot] not in ("", _NULL_TEXT)]
    if not filled and link_layer == "InfiniBand":
        filled = slots[:1]  # the LID alone reaches its subnet; on Ethernet it is an empty slot
    found = []
    for slot in filled:
        with suppress(AddressValueError):
            kind = _TYPES.get(_read(folder / "gid_attrs" / "types" / str(slot)), ROCE_V1)
            found.append(
                Gid(
                    index=slot,
                    value=IPv6Address(texts[slot]),
                    kind=INFINIBAND if link_layer == "InfiniBand" else kind,
                    interface=_read(folder / "gid_attrs" / "ndevs" / str(slot)),
                )
            )
    return tuple(found)


def _netdevs(sysfs: Path, device: str, number: int) -> set[str]:
    """The interfaces that stand on the same hardware port (IPoIB has no other trace of it)."""
    found = set()
    for net in (sysfs / "infiniband" / device / "device" / "net").glob("*"):
        if _read(net / "dev_port") in {"", str(number - 1)}:
            found.add(net.name)
    return found


def ports(sysfs: Path = SYSFS, *, device: str | None = None) -> list[Port]:
    """Returns every port of every RDMA device, by name; an empty list where there is none.

    Args:
        sysfs: where the kernel's tree is.
        device: of this device only.
    """
    found = []
    for folder in sysfs.glob("infiniband/*/ports/*"):
        if device not in (None, folder.parent.parent.name):
            continue
        name, number = folder.parent.parent.name, int(folder.name)
        link_layer = _read(folder / "link_layer") or "InfiniBand"
        gids = _gids(folder, link_layer)
        interfaces = {gid.interface for gid in gids if gid.interface}
        found.append(
            Port(
                device=name,
                number=number,
                state=_read(folder / "state").rpartition(" ")[2],  # "4: ACTIVE"
                link_layer=link_layer,
                gids=gids,
                interfaces=tuple(sorted(interfaces | _netdevs(sysfs, name, number))),
            )
        )
    return sorted(found, key=lambda port: (port.device, port.number))
