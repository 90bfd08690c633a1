"""A node of another host as its peer reaches it: the bootstrap asks, queue pairs do the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rdmaq import errors
from rdmaq.address import HostPort
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.bootstrap.messages import Description, RegionKey, RegionOffer
from rdmaq.node_network import release
from rdmaq.region.channel import Channel
from rdmaq.region.grant import ARRAY, TABLE, RegionInfo, from_message
from rdmaq.region.verbs_channel import VerbsChannel
from rdmaq.sessions.calling import SETTINGS, Caller, CallingSession, dial
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.sessions.follower import RemoteFollower
from rdmaq.sessions.outlet import Outlet
from rdmaq.sessions.remote import Remote
from rdmaq.stream.cursor import Cursor
from rdmaq.stream.following import Follower
from rdmaq.stream.listing import StreamInfo, stream_info
from rdmaq.verbs.link_settings import LinkSettings

if TYPE_CHECKING:
    from rdmaq.verbs.settings import PairSettings

_RETRY_SECONDS = 0.1
_WORDS = {ARRAY: "region", TABLE: "table"}


class VerbsLink:
    """Holds a device and one connection of its own; each region gets another.

    Args:
        where: the node.
        credentials: what this side shows and asks for.
        choice: what the user says of the device.
        settings: of the queue pairs; None: the defaults.
        link_settings: of the links of streams; None: the defaults.
        client: for the first connection, which closes it; None: one of its own.
        timeout: seconds to wait for the node to answer.

    Attributes:
        transport: "verbs".
        check_wanted: raises when nobody wants an answer any more.

    Raises:
        VerbsUnavailable, DeviceNotFound: there is no device here that could reach it.
        BootstrapError: the node refuses, or a probe does not get through.
        RdmaqError: else as `sessions.calling.dial`.
    """

    transport = "verbs"

    def __init__(
        self,
        where: HostPort,
        credentials: Credentials,
        choice: DeviceChoice,
        settings: PairSettings | None = None,
        link_settings: LinkSettings | None = None,
        client: Caller | None = None,
        timeout: float = 0.0,
    ) -> None:
        self._where, self._credentials = where, credentials
        # Nobody sends a WRITE_WITH_IMM to a caller: no receives.
        self._settings = SETTINGS if settings is None else replace(settings, receive_depth=0)
        self._link_settings = LinkSettings() if link_settings is None else link_settings
        self.check_wanted: Callable[[], None] = _wanted
        self._lock = threading.Lock()
        self._is_closed = False
        self._outlet = Outlet(choice, where.host)
        try:
            self._base: CallingSession | None = self._dialled(client, timeout)
        except BaseException:
            self._outlet.let_go()
            raise

    def _dialled(self, client: Caller | None = None, timeout: float = 0.0) -> CallingSession:
        return dial(
            self._call, self._outlet, settings=self._settings, client=client, timeout=timeout
        )

    def streams(self) -> list[StreamInfo]:
        """See `Peer.streams`."""
        return [
            stream_info(
                {
                    "name": stream.name,
                    "schema": stream.schema,
                    "capacity_bytes": stream.capacity_bytes,
                    "is_reliable": stream.is_reliable,
                    "epoch": stream.epoch,
                    "next_sequence": stream.next_sequence,
                }
            )
            for stream in self._describe().streams
        ]

    def regions(self) -> list[RegionInfo]:
        """See `Peer.regions`."""
        return [_info(region) for region in self._describe().regions]

    def attach(self, name: str, kind: str, timeout: float) -> tuple[RegionInfo, Channel]:
        """A region or table by a connection of its own, as soon as it is offered."""
        info, session = self.open(name, kind, timeout)
        return info, VerbsChannel(session, info)

    def open(self, name: str, kind: str, timeout: float) -> tuple[RegionInfo, CallingSession]:
        """The connection to a region or table: proved, with the key to it."""
        deadline = time.monotonic() + timeout
        while True:
            self.check_wanted()
            try:
                session = dial(
                    self._call,
                    self._outlet,
                    (name,),
                    check=lambda description: self._check_offered(description, name, kind),
                    settings=self._settings,
                )
            except (errors.RegionNotFound, errors.PeerNotFound):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_RETRY_SECONDS)
                continue
            try:
                return _granted(session.keys[0], name, kind), session
            except BaseException:
                session.close()
                raise

    def subscribe(
        self,
        request: dict[str, Any],
        wait_mode: int,
        timeout: float,
        settings: LinkSettings | None,
        /,
    ) -> Cursor:
        """A replica of the stream, and a link to it."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._remote(request, wait_mode, settings).connect()
            except errors.RegionNotFound as error:  # gone between description and connection
                late = errors.StreamNotFound(str(error), available=())
                if time.monotonic() >= deadline:
                    raise late from error
            except (errors.StreamNotFound, errors.PeerNotFound):
                if time.monotonic() >= deadline:
                    raise
            self.check_wanted()
            time.sleep(_RETRY_SECONDS)

    def _remote(
        self, request: dict[str, Any], wait_mode: int, settings: LinkSettings | None
    ) -> Remote:
        links = settings or self._link_settings
        return Remote(self._call, self._outlet, request, wait_mode, links, self._settings)

    def follower(
        self, request: dict[str, Any], wait_mode: int, settings: LinkSettings | None, /
    ) -> Follower:
        """Connects in a thread of its own."""
        # Not this link's: a subscription that follows outlives its peer.
        call, outlet = self._call, self._outlet
        pairs, links = self._settings, settings or self._link_settings

        def make(epoch: int, sequence: int) -> Remote:
            after = {**request, "after": (epoch, sequence)}
            return Remote(call, outlet, after, wait_mode, links, pairs)

        return RemoteFollower(make, outlet)

    def ping(self) -> float:
        """See `Peer.ping`."""
        with self._lock:
            if self._is_closed:
                raise errors.ClosedError(
                    f"this peer of {self._where} is closed: it pings no more; connect again"
                )
            if self._base is None:
                self._base = self._dialled()
            try:
                return self._base.ping()
            except errors.OperationFailed as error:
                base, self._base = self._base, None
                failure = base.failure(error)
                base.close()
                raise errors.PeerNotFound(
                    f"no answer from the node at {self._where} over verbs: {failure}; connect again"
                ) from error

    def negotiated(self) -> dict[str, str | int]:
        """See `Peer.negotiated`."""
        with self._lock:
            if self._base is None:
                return {"transport": self.transport}
            pair = self._base.pair
            facts, granted = pair.facts, pair.attributes
        return {
            "transport": self.transport,
            "device": facts.device,
            "gid": facts.local,
            "peer_gid": facts.remote,
            "queue_pair": facts.qp_num,
            "peer_queue_pair": facts.remote_qp_num,
            "mtu_bytes": granted.mtu_bytes,
            "reads_in_flight": granted.initiator_depth,
            "reads_answered": granted.responder_depth,
            "timers": facts.timers,
        }

    def close(self) -> None:
        """Ends its own connection; regions and tables have theirs, and live on."""
        with self._lock:
            base, self._base = self._base, None
            was_closed, self._is_closed = self._is_closed, True
        if was_closed:  # two who close at once must not let go of the outlet twice
            return
        try:
            if base is not None:
                base.close()
        finally:
            self._outlet.let_go()

    def __del__(self) -> None:
        with suppress(Exception):  # its making failed, or the interpreter ends
            self.close()

    def _check_offered(self, description: Description, name: str, kind: str) -> None:
        regions = description.regions
        other = next((region for region in regions if region.name == name), None)
        if other is not None and other.kind == kind:
            return
        offered = sorted(region.name for region in regions if region.kind == kind)
        what = _WORDS[kind]
        if other is not None:
            cure, article = (_WORDS[other.kind], "an" if other.kind == ARRAY else "a")
            raise errors.RegionNotFound(
                f"{name!r} at {self._where} is {article} {other.kind}, no {what}: ask for it by "
                f"{cure}()",
                available=offered[:200],
            )
        raise errors.RegionNotFound(
            f"no {what} {name[:200]!r} at {self._where}: it offers "
            f"{', '.join(map(repr, offered[:20])) or 'none'}; check the name, or pass timeout= "
            "seconds to wait for it",
            available=offered[:200],
        )

    def _describe(self) -> Description:
        client = self._call(None)
        try:
            return client.describe()[0]
        finally:
            client.close()

    def _call(self, call_seconds: float | None) -> Caller:
        from rdmaq.bootstrap.client import CALL_SECONDS_MAX, Client

        return Client(
            self._where.host,
            self._where.port,
            self._credentials,
            release=release(),
            call_seconds=CALL_SECONDS_MAX if call_seconds is None else call_seconds,
        )


def _granted(key: RegionKey, name: str, kind: str) -> RegionInfo:
    """What the key is to, checked against what was asked for."""
    info = _info(key.region)
    if info.name != name or info.kind != kind:
        raise errors.HandoverError(
            "the node's grant is not what was asked for: run the same release on both sides"
        )
    if key.length_bytes != info.data_bytes:
        raise errors.SegmentError(
            f"the node grants {key.length_bytes:,} bytes for {name!r}, which has "
            f"{info.data_bytes:,}: it is not used; is the peer really an rdmaq node?"
        )
    return info


def _info(offer: RegionOffer) -> RegionInfo:
    return from_message(
        {
            "name": offer.name,
            "kind": offer.kind,
            "format": offer.format,
            "schema": offer.schema,
            "shape": list(offer.shape),
            "access": offer.access,
        }
    )


def _wanted() -> None:
    """Never raises."""
