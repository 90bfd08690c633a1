"""The publishing side: a node offers streams at an address."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from rdmaq import arguments, errors
from rdmaq._fast import lib
from rdmaq._handle import Handle
from rdmaq.address import HostPort, check_name, parse_address
from rdmaq.bootstrap.credentials import Credentials, check_credentials
from rdmaq.node_network import NetworkDoor
from rdmaq.region.exported import Export, Table
from rdmaq.region.exports import Exports
from rdmaq.sessions import wishes
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.shm.listener import Listener
from rdmaq.stream import keeper
from rdmaq.stream import schema as schemas
from rdmaq.stream.flow import Flow, lossy
from rdmaq.stream.offer import Offer
from rdmaq.stream.publisher import Publisher

if TYPE_CHECKING:
    from rdmaq.verbs.link_settings import LinkSettings


class Node(Handle):
    """Offers streams at an address until it is closed.

    Args:
        address: `local:NAME`: found by processes of this host that share the runtime folder
            ($RDMAQ_RUNTIME_DIR, else $XDG_RUNTIME_DIR/rdmaq, else /tmp/rdmaq-UID). `HOST:PORT`:
            listens there, too, by gRPC; "0.0.0.0": at every interface, port 0: at a free one.
        allow_uids: users who may connect besides the one this process runs as.
        credentials: of a host and port: what the node shows and asks for. Default: what RDMAQ_TLS_*
            and RDMAQ_TOKEN say.
        device: of a host and port: the RDMA device by which other hosts reach regions and tables,
            "mlx5_0". Default, with the next two: what RDMAQ_DEVICE, RDMAQ_INTERFACE and
            RDMAQ_GID_INDEX say, else the one that has the address listened at, else the one
            that reaches the caller.
        interface: the same by its network interface, "eth0".
        gid_index: the GID's place in the device's table; taken as it is.
        link_settings: of a host and port: a `rdmaq.verbs.LinkSettings` for the links of its streams
            to other hosts. Default: `LinkSettings()`.

    Attributes:
        address: as given; a port of 0 has become the one that was free.

    Raises:
        AddressError: it is not of that form, or the socket's path would be too long.
        AddressInUse: another living process is the node of that name, or has that port.
        AccessDenied: the runtime folder or the name's lock belongs to another user.
        CredentialsError: other hosts could call, and there is no TLS; or files cannot be used.
        UnsupportedTransport: a host and port, and gRPC is not installed (rdmaq[net]).
    """

    __slots__ = (
        "_door",
        "_exports",
        "_keeper",
        "_link_settings",
        "_listener",
        "_offer",
        "address",
    )

    def __init__(
        self,
        address: str,
        *,
        allow_uids: Collection[int] = (),
        credentials: Credentials | None = None,
        device: str | None = None,
        interface: str | None = None,
        gid_index: int | None = None,
        link_settings: LinkSettings | None = None,
    ) -> None:
        super().__init__()
        where = parse_address(address)
        self._link_settings = wishes.link_settings(link_settings)
        choice = DeviceChoice.of(device, interface, gid_index)
        users = arguments.user_ids("allow_uids", allow_uids)
        check_credentials(credentials)
        self.address = address
        self._exports = Exports(address)
        self._offer = Offer(address, self._exports.answers)
        self._keeper: Any = None
        self._door: NetworkDoor | None = None
        wanted = (device, interface, gid_index, link_settings)
        if not isinstance(where, HostPort) and any(wish is not None for wish in wanted):
            raise errors.UnsupportedTransport(
                f"{address!r} is reached by shared memory only: device=, interface=, gid_index= "
                "and link_settings= are for a host and port; leave them out"
            )
        if not isinstance(where, HostPort):
            self._listener = Listener(where, self._offer.answer, allow_uids=users)
            return
        self._door = NetworkDoor(where, credentials, choice, self._offer, self._exports)
        self.address = self._exports.address = self._offer.address = str(self._door.where)
        try:
            # The same node for processes of this host: they get descriptors instead of packets.
            name = self._door.where.local_name
            self._listener = Listener(name, self._offer.answer, allow_uids=users)
        except BaseException:
            self._door.close()
            raise
        self._door.open()

    def publish(
        self,
        name: str,
        schema: npt.DTypeLike | None = None,
        *,
        capacity: int | str = "16MiB",
        guard: int | str | None = None,
        flow: Flow | None = None,
        first_sequence: int = 1,
        link_settings: LinkSettings | None = None,
    ) -> Publisher:
        """Makes a stream and offers it.

        Args:
            name: 1 to 192 bytes of text, unique in the node.
            schema: numpy dtype of the records; None: an untyped stream of byte strings.
            capacity: bytes of the ring, a power of two from 64 KiB to 1 TiB, as a number or as
                text ("64KiB"): how far subscribers may fall behind. All of it is allocated here
                and now.
            guard: the longest frame in bytes, header included; a multiple of 32 from 4 KiB to a
                quarter of the capacity. Default: an eighth, at most 1 MiB. Capacity less guard is
                what holds messages.
            flow: `lossy()` (default) or `reliable(...)`.
            first_sequence: of the first message, 1 or more.
            link_settings: a `rdmaq.verbs.LinkSettings` for this stream's links to other hosts.
                Default: the node's. On this host there are no links.

        Raises:
            AddressError: no name for a stream; nothing was offered, as after each of these.
            StreamExists: the node offers one of that name.
            CapacityError: no ring can have that capacity or guard, or there is no memory for it.
            SchemaError: records of that dtype cannot be shared.
            MessageTooLarge: one record is longer than the guard.
            SequenceError: `first_sequence` is below 1.
            ClosedError: the node is closed.
        """
        check_name(name, "stream")
        try:
            capacity_bytes = arguments.size_bytes("capacity", capacity)
            guard_bytes = 0 if guard is None else arguments.size_bytes("guard", guard)
        except ValueError as error:
            raise errors.CapacityError(str(error)) from error
        if guard is not None and guard_bytes == 0:
            raise errors.CapacityError("guard=0: no frame would fit; leave it out for the default")
        if flow is not None and not isinstance(flow, Flow):
            raise TypeError(
                f"flow={arguments.shown(flow)}: it is no flow; use rdmaq.lossy() or "
                "rdmaq.reliable()"
            )
        dtype = None if schema is None else schemas.check_dtype(schema)
        if self._is_forked:
            raise self.closed_error()  # the lock may be held by a thread of the parent's
        with self._offer.lock:
            self._check_free(name)
        # Not under the lock: a large ring takes seconds to make, and the listener needs the lock.
        publisher = Publisher(
            name,
            dtype,
            capacity_bytes=capacity_bytes,
            guard_bytes=guard_bytes,
            flow=lossy() if flow is None else flow,
            first_sequence=first_sequence,
            on_close=self._withdraw,
            link_settings=wishes.link_settings(link_settings) or self._link_settings,
        )
        try:
            with self._offer.lock:
                self._check_free(name)
                self._offer.streams[name] = publisher
                self._keep(publisher)
        except BaseException:
            publisher.close()
            raise
        return publisher

    def _check_free(self, name: str) -> None:
        if self.closed:
            raise self.closed_error()
        self._offer.check_free(name)

    def export(self, name: str, array: npt.ArrayLike, access: str = "read") -> Export:
        """Opens an array to one-sided access by peers.

        Args:
            name: 1 to 192 bytes of text, unique among the node's regions and tables.
            array: of any shape, its dtype without objects. Its bytes are copied into shared memory:
                the `.array` of what is returned is the one that peers reach.
            access: what peers may do: "read", "write" (and read), or "atomic" (and both).

        Raises:
            RegionError: the array is empty or too large, or there is no such access.
            SchemaError: its dtype cannot be shared.
            CapacityError: no memory for it.
            RegionExists: a region or table has the name.
            AddressError: the name is none.
            ClosedError: the node is closed.
        """
        return self._exports.export(name, array, access)

    def table(self, name: str, dtype: npt.DTypeLike, rows: int) -> Table:
        """Makes a table: rows that you update and any number of peers read, each always whole.

        Args:
            name: 1 to 192 bytes of text, unique among the node's regions and tables.
            dtype: of a row, at most 1 MiB of it.
            rows: how many; all are zeros at first.

        Raises:
            RegionError: no such number of rows, or too many bytes.
            SchemaError: its dtype cannot be shared.
            CapacityError: no memory for it.
            RegionExists: a region or table has the name.
            AddressError: the name is none.
            ClosedError: the node is closed.
        """
        return self._exports.table(name, dtype, rows)

    def close(self) -> None:
        """Closes every stream and the address; idempotent. Subscribers drain what is left."""
        if self._is_forked:
            return
        with self._offer.lock:
            if self._is_closed:
                return
            self._is_closed = True
            streams = list(self._offer.streams.values())
        with ExitStack() as rest:  # the last one first, and each whatever becomes of the others
            rest.callback(self._stop_keeper)
            rest.callback(self._listener.close)
            rest.callback(self._exports.close)
            if self._door is not None:
                rest.callback(self._door.close)
            # Before the door: their ends go out over its sessions' links.
            for publisher in streams:
                rest.callback(publisher.close)

    def _stop_keeper(self) -> None:
        with self._offer.lock:
            kept, self._keeper = self._keeper, None
        if kept is not None:
            lib.rq_keeper_stop(kept)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        if not self._is_closed:  # else its descriptors' numbers are somebody else's by now
            self._listener.forget()

    # ---- heartbeats ------

    def _keep(self, publisher: Publisher) -> None:
        if self._keeper is None:
            self._keeper = keeper.start()
        publisher.keeper = self._keeper
        lib.rq_keeper_add(self._keeper, publisher.handle)

    def _withdraw(self, publisher: Publisher) -> None:
        """A closed publisher: no heartbeats, no new subscribers; the old ones keep their slots."""
        with self._offer.lock:
            if self._offer.streams.get(publisher.name) is publisher:
                del self._offer.streams[publisher.name]
            if self._keeper is not None:
                lib.rq_keeper_remove(self._keeper, publisher.handle)
        publisher.close_segment_fd()
