"""Which RDMA device a node or a peer uses: argument, else RDMAQ_*, else by whom to reach."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdmaq import arguments
from rdmaq.errors import DeviceNotFound

if TYPE_CHECKING:
    from rdmaq.verbs.devices import Port
    from rdmaq.verbs.gids import Gid

_INDEX_MAX = 65535
_INDEX_CURE = "give a place in the port's GID table (`rdmaq info` lists it), for example 3"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChoice:
    """What the user says of the device; None is left to rdmaq.

    Attributes:
        device: the RDMA device's name, "mlx5_0".
        interface: a network interface, "eth0": its GID is used.
        gid_index: the GID's place in the port's table; taken as it is.
    """

    device: str | None = None
    interface: str | None = None
    gid_index: int | None = None

    @classmethod
    def of(
        cls,
        device: str | None,
        interface: str | None,
        gid_index: int | None,
        environment: Mapping[str, str] | None = None,
    ) -> DeviceChoice:
        """Arguments; where there is none at all, RDMAQ_DEVICE, RDMAQ_INTERFACE, RDMAQ_GID_INDEX.

        Raises:
            TypeError, ValueError: an argument is none.
            DeviceNotFound: RDMAQ_GID_INDEX is none.
        """
        for name, value in (("device", device), ("interface", interface)):
            if value is not None and (not isinstance(value, str) or not value):
                raise TypeError(
                    f"{name}={arguments.shown(value)} is no name: it must be text; `rdmaq info` "
                    "lists devices and interfaces"
                )
        if gid_index is not None:
            gid_index = arguments.whole("gid_index", gid_index, 0, _INDEX_MAX, _INDEX_CURE)
        if (device, interface, gid_index) != (None, None, None):
            return cls(device=device, interface=interface, gid_index=gid_index)
        found = os.environ if environment is None else environment
        return cls(
            device=found.get("RDMAQ_DEVICE") or None,
            interface=found.get("RDMAQ_INTERFACE") or None,
            gid_index=_index(found.get("RDMAQ_GID_INDEX") or None),
        )

    @property
    def is_made(self) -> bool:
        """Whether the user said anything."""
        return (self.device, self.interface, self.gid_index) != (None, None, None)

    def find(self, *hosts: str, ports: Sequence[Port] | None = None) -> tuple[Port, Gid]:
        """The port and the GID to use.

        Args:
            hosts: names or addresses, the most telling first: the port by which the kernel would
                go to the first that any reaches is taken. Where none is reached by an RDMA port
                (the bootstrap may go by another network), the best of all is.
            ports: what there is; None: what the kernel lists.

        Raises:
            DeviceNotFound: nothing fits what the user said; the text lists what there is.
        """
        from rdmaq.verbs.choice import choose  # not before it is needed: verbs are much code
        from rdmaq.verbs.devices import ports as all_ports

        there = all_ports() if ports is None else ports
        device, interface, gid_index = self.device, self.interface, self.gid_index
        for host in hosts if there else ():
            with suppress(DeviceNotFound):
                return choose(
                    there,
                    device=device,
                    interface=interface,
                    gid_index=gid_index,
                    reach=host.strip("[]"),
                )
        return choose(there, device=device, interface=interface, gid_index=gid_index)


def _index(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:9]) > _INDEX_MAX:
        raise DeviceNotFound(f"RDMAQ_GID_INDEX={text[:40]!r} is no number from 0: {_INDEX_CURE}")
    return int(text)
