"""The subscribing side: a peer is a node seen from another process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol

import numpy.typing as npt

from rdmaq import arguments, errors
from rdmaq._fast import lib
from rdmaq._handle import Handle
from rdmaq.address import HostPort, check_name, local_name, parse_address
from rdmaq.bootstrap.credentials import Credentials, check_credentials
from rdmaq.peer_local import LocalLink
from rdmaq.peer_network import TRANSPORTS, Transport, find
from rdmaq.region.channel import Channel
from rdmaq.region.grant import ARRAY, TABLE, RegionInfo
from rdmaq.region.region import Region
from rdmaq.region.table_reader import TableReader
from rdmaq.sessions import wishes
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.stream import schema as schemas
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.following import Follower
from rdmaq.stream.listing import StreamInfo
from rdmaq.stream.reading import OnGap, OnRestart
from rdmaq.stream.start import Start, parse_start
from rdmaq.stream.subscription import WAIT_MODES, Subscription, Wait

if TYPE_CHECKING:
    from rdmaq.verbs.link_settings import LinkSettings
    from rdmaq.verbs.settings import PairSettings


class Link(Protocol):
    """How a node is reached; each transport has one."""

    @property
    def transport(self) -> str:
        """Its name."""

    check_wanted: Callable[[], None]

    def streams(self) -> list[StreamInfo]:
        """What the node offers."""

    def regions(self) -> list[RegionInfo]:
        """What it exports."""

    def attach(self, name: str, kind: str, timeout: float) -> tuple[RegionInfo, Channel]:
        """Reaches a region or a table, waiting so many seconds for it to be exported."""

    def subscribe(
        self,
        request: dict[str, Any],
        wait_mode: int,
        timeout: float,
        settings: LinkSettings | None,
        /,
    ) -> Cursor:
        """Subscribes to a stream."""

    def follower(
        self, request: dict[str, Any], wait_mode: int, settings: LinkSettings | None, /
    ) -> Follower:
        """How the same stream is subscribed to when it begins anew."""

    def ping(self) -> float:
        """One round trip, in seconds."""

    def negotiated(self) -> dict[str, str | int]:
        """What was agreed on."""

    def close(self) -> None:
        """Lets go of what it holds."""


class Peer(Handle):
    """A node that answered; made by `connect`.

    Over shared memory it holds no connection between calls; over verbs a queue pair of its own,
    and each of its regions and tables another, until they are closed.

    Attributes:
        address: as given to `connect`.
    """

    __slots__ = ("_link", "address")

    def __init__(
        self, address: str, *, allow_uids: Collection[int] = (), link: Link | None = None
    ) -> None:
        super().__init__()
        self.address = address
        users = arguments.user_ids("allow_uids", allow_uids)
        self._link: Link = LocalLink(address, local_name(address), users) if link is None else link
        self._link.check_wanted = self._check_open

    def streams(self) -> list[StreamInfo]:
        """What the node offers now.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it did not answer, or not in this release's form.
            AccessDenied, ClosedError: see there.
        """
        self._check_open()
        return self._link.streams()

    def subscribe(
        self,
        name: str,
        schema: npt.DTypeLike | None = None,
        *,
        start: Start = "live",
        on_gap: OnGap = "report",
        wait: Wait = "auto",
        timeout: float = 0.0,
        on_restart: OnRestart = "raise",
        link_settings: LinkSettings | None = None,
    ) -> Subscription:
        """Subscribes to a stream.

        Args:
            name: the stream's.
            schema: the dtype that you expect; None: take what it is.
            start: "live" (what is published from now on), "oldest" (what the ring still holds), a
                sequence, or a time (aware datetime or datetime64): the first frame published then
                or later, also if that time is yet to come. What was asked for and is not there any
                more is declared as a gap. With a time, where the ring no longer tells which of the
                missed messages were published then or later, the gap begins at the earliest that
                could be: never too late.
            on_gap: "report": a batch with `gap` set; "raise": `GapError`; "skip": only counted;
                "recover": over verbs, what was missed while there was no link is read out of the
                publisher's ring before the next one carries, and only what is not there any more
                is reported. The others go on at once with what is published from then on. On one
                host reader and publisher share the ring, so that it means "report".
            wait: how to wait for messages: "spin" (fastest, burns a CPU), "yield", "sleep", or
                "auto": spin for 20 us, then sleep.
            timeout: seconds to wait for the node to be there and the stream to be offered.
            on_restart: when the publisher vanishes: "raise" `PublisherGone`, or "follow" its next
                incarnation from its oldest message (`batch.epoch` changes).
            link_settings: a `rdmaq.verbs.LinkSettings` for this subscription's link. Default: the
                peer's. Over shared memory there is no link, and it counts for nothing.

        Raises:
            StreamNotFound: not on offer; `.available` lists what is.
            SchemaMismatch: it carries another dtype; the text names both.
            TooManyReaders: it has 128 subscribers on its host, or 256 on others.
            PeerNotFound: the node is not there any more.
            HandoverError: it is there and does not answer, or not in this release's form.
            SegmentError: what it handed over failed its checks, and was not used.
            UnsupportedTransport: the stream does not leave its host: its node's release is older.
            SchemaError: `schema` is no dtype whose records can be shared.
            ValueError: an option has none of the values above.
            AddressError, AccessDenied, ClosedError: see there.
        """
        self._check_open()
        check_name(name, "stream")
        arguments.choice("on_gap", on_gap, ("report", "raise", "skip", "recover"))
        arguments.choice("on_restart", on_restart, ("raise", "follow"))
        arguments.choice("wait", wait, tuple(WAIT_MODES))
        timeout = arguments.seconds("timeout", timeout)
        request: dict[str, Any] = {"want": "subscribe", "stream": name}
        if self._link.transport == "verbs":
            request["recovers"] = on_gap == "recover"
        if schema is not None:
            request["schema"] = schemas.to_text(schemas.check_dtype(schema))
            if len(request["schema"]) > lib.RQ_SCHEMA_BYTES_MAX:
                raise errors.SchemaError(
                    f"schema= takes {len(request['schema']):,} bytes as text: no stream has one of "
                    f"more than {lib.RQ_SCHEMA_BYTES_MAX:,}; use fewer fields, or shorter names"
                )
        wait_mode, settings = WAIT_MODES[wait], wishes.link_settings(link_settings)
        kind, value = parse_start(start)
        wanted = {**request, "start": kind, "start_value": value}
        cursor = self._link.subscribe(wanted, wait_mode, timeout, settings)
        # Of a stream that begins anew all is wanted: what of it is gone already is told as a gap.
        first = {**request, "start": lib.RQ_START_SEQUENCE, "start_value": 1}
        return Subscription(
            name,
            cursor,
            on_gap=on_gap,
            on_restart=on_restart,
            follower=self._link.follower(first, wait_mode, settings),
        )

    def regions(self) -> list[RegionInfo]:
        """What regions and tables the node exports now.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it listed them in an unknown form.
            ClosedError: this peer is closed.
        """
        self._check_open()
        return self._link.regions()

    def region(self, name: str, *, timeout: float = 0.0) -> Region:
        """Reaches an exported array.

        Args:
            name: the region's.
            timeout: seconds to wait for it to be exported.

        Raises:
            RegionNotFound: not on offer; `.available` lists what is.
            PeerNotFound: the node is not there any more.
            AccessDenied: one side does not accept the other's user.
            HandoverError: the grant has an unknown form.
            SegmentError: what was handed over fails its checks; it was not mapped.
            ClosedError: this peer is closed.
        """
        check_name(name, "region")
        self._check_open()
        info, channel = self._link.attach(name, ARRAY, arguments.seconds("timeout", timeout))
        return Region(info.name, info.dtype, info.shape, info.access, channel)

    def table(self, name: str, *, timeout: float = 0.0) -> TableReader:
        """Reaches a table.

        Args:
            name: the table's.
            timeout: seconds to wait for it to be offered.

        Raises:
            RegionNotFound, PeerNotFound, AccessDenied, HandoverError, SegmentError, ClosedError: as
                for `region`.
        """
        check_name(name, "table")
        self._check_open()
        return TableReader(*self._link.attach(name, TABLE, arguments.seconds("timeout", timeout)))

    @property
    def transport(self) -> str:
        """How bytes travel to and from the node: "shm" or "verbs"."""
        return self._link.transport

    def ping(self) -> float:
        """One round trip; returns the seconds that it took.

        Over shared memory: a question to the node's own thread, and its answer. Over verbs: a WRITE
        to the node's memory and a READ of it, one behind the other, for which none of its
        instructions runs.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it did not answer.
            AccessDenied, ClosedError: see there.
        """
        self._check_open()
        return self._link.ping()

    def negotiated(self) -> dict[str, str | int]:
        """What was agreed on with the node, for people: transport, and over verbs what carries it.

        Over verbs: "device", "gid" and "peer_gid", "queue_pair" and "peer_queue_pair",
        "mtu_bytes", "reads_in_flight" and "reads_answered" at once, and "timers". New names may
        come.

        Raises:
            ClosedError: this peer is closed.
        """
        self._check_open()
        return self._link.negotiated()

    def close(self) -> None:
        """Ends this object and whoever waits in it. Idempotent.

        Subscriptions, regions and tables live on their own.
        """
        if not self.closed:
            self._is_closed = True
            self._link.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise self.closed_error()


def connect(
    address: str,
    *,
    timeout: float = 0.0,
    allow_uids: Collection[int] = (),
    credentials: Credentials | None = None,
    transport: Transport = "auto",
    device: str | None = None,
    interface: str | None = None,
    gid_index: int | None = None,
    pair_settings: PairSettings | None = None,
    link_settings: LinkSettings | None = None,
) -> Peer:
    """Finds the node at `address`.

    Args:
        address: `local:NAME` on this host, or `HOST:PORT`.
        timeout: seconds to wait for the node to appear.
        allow_uids: users who may run the node besides the one this process runs as.
        credentials: for a host and port: what this side shows and asks for. Default: what
            RDMAQ_TLS_* and RDMAQ_TOKEN say.
        transport: "shm", "verbs", or "auto": shared memory when the node hands its descriptors
            over, since then it is of this host; else verbs. The one in use is `Peer.transport`.
        device: the RDMA device to use, "mlx5_0". Default, with the next two: what RDMAQ_DEVICE,
            RDMAQ_INTERFACE and RDMAQ_GID_INDEX say, else the one that reaches the host.
        interface: the same by its network interface, "eth0".
        gid_index: the GID's place in the device's table; taken as it is.
        pair_settings: a `rdmaq.verbs.PairSettings`: time-outs, depths and MTU of queue pairs.
        link_settings: a `rdmaq.verbs.LinkSettings`: how the links of streams to here behave.

    Raises:
        PeerNotFound: no node listens there.
        AccessDenied: one side does not accept the other's user.
        HandoverError: a process listens there and does not answer, or not in this release's form.
        AuthenticationError: one side does not accept the other's certificate or token.
        CredentialsError: the host is another one, and there is no TLS; or files cannot be used.
        VersionMismatch, BootstrapError: a process listens there and speaks something else.
        UnsupportedTransport: it cannot be reached by the transport, or by any; the text says why
            not, for each. Or gRPC is not installed.
        DeviceNotFound: RDMAQ_GID_INDEX is no number.
        AddressError: the address has no known form.
    """
    where = parse_address(address)
    arguments.choice("transport", transport, TRANSPORTS)
    patience = arguments.seconds("timeout", timeout)

    users = arguments.user_ids("allow_uids", allow_uids)
    choice = DeviceChoice.of(device, interface, gid_index)
    pairs, links = wishes.pair_settings(pair_settings), wishes.link_settings(link_settings)
    check_credentials(credentials)
    if isinstance(where, HostPort):
        found = find(
            where, credentials, transport, choice, pairs, users, timeout=patience, links=links
        )
        return Peer(address, link=found)
    wanted = (device, interface, gid_index, pairs, links)
    if transport == "verbs" or any(wish is not None for wish in wanted):
        raise errors.UnsupportedTransport(
            f"{address!r} is reached by shared memory only: transport='verbs', device=, "
            "interface=, gid_index=, pair_settings= and link_settings= need the host and port of "
            "a node; leave them out"
        )
    link = LocalLink(address, where, users)
    link.hello(patience)
    return Peer(address, link=link)
