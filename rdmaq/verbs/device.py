"""An opened device, with the port and GID that its queue pairs use."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from rdmaq._handle import Handle
from rdmaq.errors import DeviceNotFound
from rdmaq.verbs import pointers
from rdmaq.verbs._calls import keep_for_ever, refusals, take_all
from rdmaq.verbs.choice import choose
from rdmaq.verbs.constants import MTU_BYTES, PORT_ACTIVE
from rdmaq.verbs.devices import Door, Port, ports
from rdmaq.verbs.domain import Domain
from rdmaq.verbs.events import Events
from rdmaq.verbs.gids import Gid
from rdmaq.verbs.library import load
from rdmaq.verbs.limits import DeviceLimits

_CURES = {
    -1: "the driver's part in user space is missing: apt-get install ibverbs-providers",
    errno.EACCES: "this user may not open /dev/infiniband/uverbs*: its mode should be 0666, or "
    "join the group that owns it",
    errno.ENOENT: "/dev/infiniband/uverbs* is missing: modprobe ib_uverbs; for a container, "
    "--device /dev/infiniband",
    errno.ENODEV: "the device was removed",
    0: "see `ibv_devinfo`; is ibverbs-providers installed, and is /dev/infiniband there?",
}


class Device(Handle):
    """An RDMA device that was opened for one port; `rdmaq.verbs.open` makes it.

    Attributes:
        port: which port, as it was when the device was opened.
        gid: by which of its GIDs peers reach us.
        limits: what device and port can do.
        events: what the device tells by itself.
        pointers: verified addresses, for the C side.
    """

    __slots__ = (
        "_context", "_domains", "_door", "events", "gid", "limits", "pointers", "port",
    )  # fmt: skip

    def __init__(self, port: Port, gid: Gid) -> None:
        self._context: Any = None
        self._domains: set[Domain] = set()
        super().__init__()
        self.port = port
        self.gid = gid
        pyverbs = load()
        if not list(Path("/dev/infiniband").glob("uverbs*")):
            raise DeviceNotFound(f"cannot open {port.device}: {_CURES[errno.ENOENT]}")
        self._door = Door.of(port.device)
        with refusals(f"cannot open {port.device}", _CURES, DeviceNotFound):
            self._context = pyverbs.device.Context(name=port.device)
        try:
            with refusals(f"cannot query {port}", _CURES, DeviceNotFound):
                self.limits = DeviceLimits.of(
                    self._context.query_device(), self._context.query_port(port.number)
                )
            self.pointers = pointers.of_context(
                self._context,
                cmd_fd=getattr(self._context, "cmd_fd", None),
                vector_count=self._context.num_comp_vectors,
            )
        except BaseException:
            self._context.close()
            raise
        self.events = Events(self._context, self.pointers.async_fd)

    @property
    def pyverbs_context(self) -> Any:
        """Pyverbs' Context, for what rdmaq does not do; rdmaq closes it."""
        if self.closed:
            raise self.closed_error()
        return self._context

    def domain(self) -> Domain:
        """Makes a protection domain: keys of one do not open memory of another.

        Take one for each circle of peers that trust each other.
        """
        domain = Domain(self)
        self._domains.add(domain)
        return domain

    def discard(self, domain: Domain) -> None:
        """Lets go of a domain that was closed."""
        self._domains.discard(domain)

    def gid_now(self) -> Gid | None:
        """Our GID as it stands in the table now; None if it is gone, or another took its place."""
        for port in ports(device=self.port.device):
            if port.number == self.port.number:
                return next((gid for gid in port.gids if gid == self.gid), None)
        return None

    @property
    def is_gone(self) -> bool:
        """Whether the device has failed, or was removed (and perhaps made again) meanwhile.

        Then it must be closed: nothing of it will work any more, and some drivers wait for that
        before they let it go.
        """
        if self.closed:
            return True
        self.events.poll()
        return self.events.is_fatal or (self._door is not None and not self._door.is_there)

    def changes(self, mtu_bytes: int) -> list[str]:
        """What is not any more as it was when a connection was made, in words.

        Args:
            mtu_bytes: of that connection.
        """
        found = []
        try:
            port = self._context.query_port(self.port.number)
        except load().pyverbs_error.PyverbsError as error:
            return [f"the device does not answer: {error}"]
        if port.state != PORT_ACTIVE:
            found.append("the local port is not active now")
        now_bytes = MTU_BYTES.get(port.active_mtu, 0)
        if now_bytes < mtu_bytes:
            found.append(
                f"the local port carries {now_bytes} bytes now, less than the connection's MTU of "
                f"{mtu_bytes}: give its interface room for that and RoCE's headers (ip link set "
                "NAME mtu), or set mtu_bytes"
            )
        if self.gid_now() is None:
            found.append(f"our GID {self.gid} is gone from the port's table")
        return found

    def close(self) -> None:
        """Closes its domains, with all in them, then the device. Idempotent."""
        if self.closed:
            return
        take_all(*(domain.close for domain in self._domains))
        self._is_closed = True
        self.events.close()
        with refusals(f"cannot close {self.port.device}", _CURES, DeviceNotFound):
            self._context.close()
        self._context = None

    def _forget(self) -> None:
        keep_for_ever(self._context)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{self.port}, GID {self.gid}"


def open_device(
    device: str | None = None,
    *,
    port: int | None = None,
    gid_index: int | None = None,
    interface: str | None = None,
    reach: str | None = None,
) -> Device:
    """Opens an RDMA device; each argument narrows the choice, and none leaves it to rdmaq.

    Args:
        device: the RDMA device's name, "mlx5_0".
        port: its port, from 1.
        gid_index: the GID's place in the port's table; taken as it is.
        interface: a network interface, "eth0": its GID is used.
        reach: a host name or IP address: the GID of the interface that the kernel routes it by.

    Without `gid_index` the best GID is taken: RoCE v2 before RoCE v1, IPv4 before IPv6; link-local
    ones only where there is nothing else.

    Raises:
        VerbsUnavailable: pyverbs or libibverbs is missing; the text says what to install.
        DeviceNotFound: nothing fits; the text lists what there is.
    """
    load()
    found = choose(
        # A long GID table takes time to read: all are read only for the listing in an error.
        ports(device=device) or ports(),
        device=device,
        port=port,
        gid_index=gid_index,
        interface=interface,
        reach=reach,
    )
    return Device(*found)
