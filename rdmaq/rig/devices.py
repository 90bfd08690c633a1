"""The RDMA devices of the machine that we run on, as the kernel shows them in /sys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/infiniband")

_MAPPED_IPV4 = "0000:0000:0000:0000:0000:ffff:"


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaDevice:
    """One port of a device, with the GID that a RoCE v2 connection would use.

    Attributes:
        interface: the network interface below it, "" for InfiniBand.
        address: the IPv4 address of its GID, "" where it has none.
        gid_index: of the first RoCE v2 GID with an IPv4 address, else 0.
    """

    name: str
    port: int
    interface: str
    address: str
    gid_index: int
    is_active: bool

    def counters(self) -> dict[str, int]:
        """Return the port's hardware counters by name; empty where it has none."""
        folder = SYSFS / self.name / "ports" / str(self.port) / "hw_counters"
        return {
            path.name: int(text)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.name != "lifespan" and (text := _read(path)).isdigit()
        }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:  # an empty GID slot cannot be read
        return ""


def _roce_v2_ipv4(port: Path) -> tuple[int, str]:
    for path in sorted((port / "gids").iterdir(), key=lambda path: int(path.name)):
        gid = _read(path)
        kind = _read(port / "gid_attrs" / "types" / path.name)
        if gid.startswith(_MAPPED_IPV4) and kind == "RoCE v2":
            high, low = (int(part, 16) for part in gid.rsplit(":", 2)[1:])
            return int(path.name), f"{high >> 8}.{high & 255}.{low >> 8}.{low & 255}"
    return 0, ""


def local_devices() -> list[RdmaDevice]:
    """Return every port of every device, by name; empty where there is no RDMA at all."""
    found = []
    for port in sorted(SYSFS.glob("*/ports/*")):
        gid_index, address = _roce_v2_ipv4(port)
        found.append(
            RdmaDevice(
                name=port.parent.parent.name,
                port=int(port.name),
                interface=_read(port / "gid_attrs" / "ndevs" / str(gid_index)),
                address=address,
                gid_index=gid_index,
                is_active=_read(port / "state").endswith("ACTIVE"),
            )
        )
    return found
