"""A tree like /sys/class with RDMA ports in it, file by file as the kernel writes them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path

NULL = "::"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="ascii")


def gid_text(address: str) -> str:
    """As /sys has it: eight groups; an IPv4 address mapped into IPv6."""
    parsed = ip_address(address)
    return (parsed if isinstance(parsed, IPv6Address) else IPv6Address(f"::ffff:{parsed}")).exploded


def add_port(
    root: Path,
    device: str,
    gids: Sequence[tuple[str, str, str]],
    *,
    port: int = 1,
    state: str = "4: ACTIVE",
    link_layer: str = "Ethernet",
) -> None:
    """Add a port whose GID table holds (address, kind as in /sys, interface) and two empty slots.

    As in a real table, an empty slot reads as zeros and its attributes cannot be read.
    """
    folder = root / "infiniband" / device / "ports" / str(port)
    _write(folder / "state", state)
    _write(folder / "link_layer", link_layer)
    for index, (address, kind, interface) in enumerate(gids):
        _write(folder / "gids" / str(index), gid_text(address))
        _write(folder / "gid_attrs" / "types" / str(index), kind)
        if interface:
            _write(folder / "gid_attrs" / "ndevs" / str(index), interface)
    for index in range(len(gids), len(gids) + 2):
        _write(folder / "gids" / str(index), gid_text(NULL))
