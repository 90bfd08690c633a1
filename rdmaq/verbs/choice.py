"""Chooses device, port and GID: by name, by network interface, by whom to reach, or by itself."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address, ip_address

from rdmaq.errors import DeviceNotFound
from rdmaq.verbs.devices import Port
from rdmaq.verbs.gids import Gid, rank

_ANY_PORT = 9  # discard: nothing is sent to it


def local_address_towards(host: str) -> IPv4Address | IPv6Address:
    """The address of ours that the kernel would use towards a host; nothing is sent.

    Raises:
        DeviceNotFound: the name does not resolve, or there is no route.
    """
    try:
        candidates = socket.getaddrinfo(host, _ANY_PORT, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = candidates[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.connect(address)
            return ip_address(probe.getsockname()[0].partition("%")[0])
    except (OSError, UnicodeError, TypeError) as error:
        raise DeviceNotFound(
            f"no RDMA port reaches {host!r}: {error}; check the address and `ip route get`, or "
            "name the device"
        ) from error


def choose(
    ports: Sequence[Port],
    *,
    device: str | None = None,
    port: int | None = None,
    gid_index: int | None = None,
    interface: str | None = None,
    reach: str | None = None,
    towards: Callable[[str], IPv4Address | IPv6Address] = local_address_towards,
) -> tuple[Port, Gid]:
    """Returns the port and the GID to use; each argument narrows the choice.

    Of what is left the best GID wins (`gids.rank`), active ports only.

    Args:
        ports: what there is, as `devices.ports()` lists it.
        device: the RDMA device's name.
        port: its port, from 1.
        gid_index: the GID's place in the port's table: taken as it is, whatever its rank.
        interface: a network interface: a GID of that one is used.
        reach: a host name or IP address: a GID of the interface that the kernel routes it by.
        towards: asks the kernel for that route (`local_address_towards`).

    Raises:
        DeviceNotFound: nothing is left; the text lists what there is, and why not.
    """
    if not ports:
        raise DeviceNotFound(
            "there is no RDMA device here: no driver has made one in /sys/class/infiniband; load "
            "the NIC's driver, make a software device (rdma link add rxe0 type rxe netdev NAME), "
            "or use a rig: rdmaq rig exec"
        )
    words = {
        "device": device,
        "port": port,
        "gid_index": gid_index,
        "interface": interface,
        "reach": reach,
    }
    asked = ", ".join(f"{name}={value!r}" for name, value in words.items() if value is not None)
    address = towards(reach) if reach is not None else None
    fitting = [
        (candidate, gid)
        for candidate, gid in _pairs(ports)
        if device in (None, candidate.device)
        and port in (None, candidate.number)
        and gid_index in (None, gid.index)
        and interface in (None, gid.interface, *_bare(candidate, interface))
        and address in (None, gid.address)
    ]
    usable = [(candidate, gid) for candidate, gid in fitting if candidate.is_active]
    if usable:
        order = {candidate: place for place, candidate in enumerate(ports)}
        return min(usable, key=lambda pair: (*rank(pair[1])[:4], order[pair[0]], pair[1].index))
    what = f"no RDMA port fits {asked}" if asked else "no RDMA port can be used"
    if fitting:
        down = ", ".join(dict.fromkeys(f"{one} is {one.state}" for one, _ in fitting))
        raise DeviceNotFound(
            f"{what}: {down}; check the cable and `rdma link`, bring its interface up "
            "(ip link set NAME up), or choose another"
        )
    via = f" ({reach} is reached from {address})" if address is not None else ""
    raise DeviceNotFound(f"{what}{via}: there is {_listing(ports)}; choose one of these")


def _bare(port: Port, interface: str | None) -> tuple[str | None, ...]:
    """An InfiniBand port's GIDs have no interface of their own: any of the port's fits."""
    return (interface,) if port.link_layer == "InfiniBand" and interface in port.interfaces else ()


def _pairs(ports: Sequence[Port]) -> Iterator[tuple[Port, Gid]]:
    for port in ports:
        for gid in port.gids:
            yield port, gid


def _listing(ports: Sequence[Port]) -> str:
    texts = []
    for port in ports:
        gids = ", ".join(f"{gid} on {gid.interface or port.link_layer}" for gid in port.gids)
        texts.append(f"{port} ({port.state}) with {gids or 'no GID'}")
    return "; ".join(texts)
