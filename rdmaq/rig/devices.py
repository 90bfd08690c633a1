"""The RDMA devices of the machine that we run on, as the kernel shows them in /sys."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rdmaq.verbs import Port, ports
from rdmaq.verbs.gids import ROCE_V2

_TICK_MS_MAX = 10
SYSFS = Path("/sys/class/infiniband")


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
        """Return the port's hardware counters by name, as they are now; empty where it has none."""
        folder = SYSFS / self.name / "ports" / str(self.port) / "hw_counters"
        # The kernel counts anew when its last count is so many milliseconds old, and by its ticks.
        lifespan_ms = _read(folder / "lifespan")
        if lifespan_ms.isdigit():
            time.sleep((int(lifespan_ms) + _TICK_MS_MAX) / 1e3)
        return {
            path.name: int(text)
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.name != "lifespan" and (text := _read(path)).isdigit()
        }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def local_devices() -> list[RdmaDevice]:
    """Return every port of every device, by name; empty where there is no RDMA at all."""
    return [_of(port) for port in ports(SYSFS.parent)]


def _of(port: Port) -> RdmaDevice:
    gid = next(
        (gid for gid in port.gids if gid.kind == ROCE_V2 and gid.value.ipv4_mapped is not None),
        None,
    )
    interface = gid.interface if gid else next((gid.interface for gid in port.gids), "")
    return RdmaDevice(
        name=port.device,
        port=port.number,
        interface=interface,
        address=str(gid.address) if gid else "",
        gid_index=gid.index if gid else 0,
        is_active=port.is_active,
    )
