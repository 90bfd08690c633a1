"""The subscribing side: a peer is a node seen from another process."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import numpy.typing as npt

from rdmaq import arguments, errors
from rdmaq._fast import lib
from rdmaq._handle import Handle
from rdmaq.address import HostPort, check_stream_name, local_name, parse_address
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.peer_network import TRANSPORTS, Transport, find
from rdmaq.region.attach import attach as attach_region
from rdmaq.region.grant import ARRAY, TABLE, RegionInfo, from_message
from rdmaq.region.region import Region
from rdmaq.region.table_reader import TableReader
from rdmaq.shm import wire
from rdmaq.shm.dial import ask, dial
from rdmaq.shm.offers import listed, taken
from rdmaq.stream import schema as schemas
from rdmaq.stream.attach import hand_over
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.listing import StreamInfo, stream_info
from rdmaq.stream.reading import OnGap, OnRestart
from rdmaq.stream.start import Start, parse_start
from rdmaq.stream.subscription import WAIT_MODES, Subscription, Wait

# A restart is followed from inside poll and from event loops: neither may stand still for long.
_FOLLOW_PATIENCE_SECONDS = 0.2


class Peer(Handle):
    """A node that answered; made by `connect`. It holds no connection between calls.

    Attributes:
        address: as given to `connect`.
    """

    __slots__ = ("_allow_uids", "_name", "address")

    def __init__(
        self, address: str, *, allow_uids: Collection[int], name: str | None = None
    ) -> None:
        super().__init__()
        self.address = address
        self._name = local_name(address) if name is None else name
        self._allow_uids = arguments.user_ids("allow_uids", allow_uids)

    def streams(self) -> list[StreamInfo]:
        """What the node offers now.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it did not answer, or not in this release's form.
            AccessDenied, ClosedError: see there.
        """
        return listed(self._dial, self.address, "streams", stream_info)

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
            on_gap: "report": a batch with `gap` set; "raise": `GapError`; "skip": only counted.
            wait: how to wait for messages: "spin" (fastest, burns a CPU), "yield", "sleep", or
                "auto": spin for 20 us, then sleep.
            timeout: seconds to wait for the node to be there and the stream to be offered.
            on_restart: when the publisher vanishes: "raise" `PublisherGone`, or "follow" its next
                incarnation from its oldest message (`batch.epoch` changes).

        Raises:
            StreamNotFound: not on offer; `.available` lists what is.
            SchemaMismatch: it carries another dtype; the text names both.
            TooManyReaders: it has 128 subscribers.
            PeerNotFound: the node is not there any more.
            HandoverError: it is there and does not answer, or not in this release's form.
            SegmentError: what it handed over failed its checks, and was not used.
            SchemaError: `schema` is no dtype whose records can be shared.
            ValueError: an option has none of the values above.
            AddressError, AccessDenied, ClosedError: see there.
        """
        self._check_open()
        check_stream_name(name)
        arguments.choice("on_gap", on_gap, ("report", "raise", "skip"))
        arguments.choice("on_restart", on_restart, ("raise", "follow"))
        arguments.choice("wait", wait, tuple(WAIT_MODES))
        timeout = arguments.seconds("timeout", timeout)
        request: dict[str, Any] = {"want": "subscribe", "stream": name}
        if schema is not None:
            request["schema"] = schemas.to_text(schemas.check_dtype(schema))
            if len(request["schema"]) > lib.RQ_SCHEMA_BYTES_MAX:
                raise errors.SchemaError(
                    f"schema= takes {len(request['schema']):,} bytes as text: no stream has one of "
                    f"more than {lib.RQ_SCHEMA_BYTES_MAX:,}; use fewer fields, or shorter names"
                )
        wait_mode = WAIT_MODES[wait]

        def attach(start: Start, seconds: float, patience: float | None = None) -> Cursor:
            kind, value = parse_start(start)
            wanted = {**request, "start": kind, "start_value": value}
            return self._attach(wanted, wait_mode, seconds, patience)

        return Subscription(
            name,
            attach(start, timeout),
            on_gap=on_gap,
            on_restart=on_restart,
            attach=lambda: attach(
                1, 0.0, _FOLLOW_PATIENCE_SECONDS
            ),  # what of it is gone already is told as a gap
        )

    def regions(self) -> list[RegionInfo]:
        """What regions and tables the node exports now.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it listed them in an unknown form.
            ClosedError: this peer is closed.
        """
        return listed(self._dial, self.address, "regions", from_message)

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
        check_stream_name(name)
        info, channel = attach_region(self._dial, name, ARRAY, timeout)
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
        check_stream_name(name)
        return TableReader(*attach_region(self._dial, name, TABLE, timeout))

    @property
    def transport(self) -> str:
        """How bytes travel to and from the node: "shm"."""
        return "shm"

    def ping(self) -> float:
        """One question and answer with the node's own thread; returns the seconds that it took.

        Raises:
            PeerNotFound: it is not there any more.
            HandoverError: it did not answer.
            AccessDenied, ClosedError: see there.
        """
        begin = time.perf_counter()
        with self._dial(0.0) as sock:
            _, unwanted = ask(sock, {"want": "hello"})
        seconds = time.perf_counter() - begin
        wire.close_all(unwanted)
        return seconds

    def close(self) -> None:
        """Ends this object and whoever waits in it; subscriptions live on their own. Idempotent."""
        self._is_closed = True

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _dial(self, timeout: float, patience: float | None = None) -> Any:
        # Who has patience of its own is a subscription that follows: it outlives its peer.
        check = self._check_open if patience is None else _outlives
        return dial(
            self._name,
            timeout=timeout,
            allow_uids=self._allow_uids,
            patience=patience,
            check_wanted=check,
        )

    def _check_open(self) -> None:
        if self.closed:
            raise self.closed_error()

    def _attach(
        self,
        request: dict[str, Any],
        wait_mode: int,
        timeout: float,
        patience: float | None,
    ) -> Cursor:
        return taken(
            lambda seconds: self._dial(seconds, patience),
            lambda sock: hand_over(sock, request, wait_mode),
            errors.StreamNotFound,
            timeout,
        )


def connect(
    address: str,
    *,
    timeout: float = 0.0,
    allow_uids: Collection[int] = (),
    credentials: Credentials | None = None,
    transport: Transport = "auto",
) -> Peer:
    """Finds the node at `address`.

    Args:
        address: `local:NAME` on this host, or `HOST:PORT`.
        timeout: seconds to wait for the node to appear.
        allow_uids: users who may run the node besides the one this process runs as.
        credentials: for a host and port: what this side shows and asks for. Default: what
            RDMAQ_TLS_* and RDMAQ_TOKEN say.
        transport: "shm", "verbs", or "auto": shared memory when the node hands its descriptors
            over, since then it is of this host.

    Raises:
        PeerNotFound: no node listens there.
        AccessDenied: one side does not accept the other's user.
        HandoverError: a process listens there and does not answer, or not in this release's form.
        AuthenticationError: one side does not accept the other's certificate or token.
        CredentialsError: the host is another one, and there is no TLS; or files cannot be used.
        VersionMismatch, BootstrapError: a process listens there and speaks something else.
        UnsupportedTransport: it cannot be reached by the transport, or gRPC is not installed.
        AddressError: the address has no known form.
    """
    where = parse_address(address)
    arguments.choice("transport", transport, TRANSPORTS)
    patience = arguments.seconds("timeout", timeout)

    def say_hello(name: str, seconds: float) -> Peer:
        peer = Peer(address, allow_uids=allow_uids, name=name)
        with peer._dial(seconds) as sock:
            _, unwanted = ask(sock, {"want": "hello"})
        wire.close_all(unwanted)
        return peer

    if isinstance(where, HostPort):
        name = find(where, credentials, transport, say_hello, timeout=patience)
        return Peer(address, allow_uids=allow_uids, name=name)
    if transport == "verbs":
        raise errors.UnsupportedTransport(
            f"{address!r} is reached by shared memory only: transport='verbs' needs the host and "
            "port of a node; leave transport= out"
        )
    return say_hello(where, patience)


def _outlives() -> None:
    """Never raises."""
