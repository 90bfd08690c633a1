"""A node's door to other hosts: the bootstrap server, and what it is told of the node."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import socket
from contextlib import ExitStack, suppress

from rdmaq.address import HostPort
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.bootstrap.messages import (
    ConnectAsk,
    ConnectGrant,
    Description,
    Identity,
    Probed,
    Proof,
    RegionOffer,
    StreamOffer,
)
from rdmaq.region.exports import Exports
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.shm.segment import host_id
from rdmaq.stream.offer import Offer


@functools.cache
def release() -> str:
    """Of the installed rdmaq, for people; "" in a tree that was never installed."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("rdmaq")
    return ""


class NetworkDoor:
    """Listens at a host and port for callers of other hosts, and of this one.

    Args:
        where: to listen; port 0: any free one.
        credentials: None: those of the environment.
        choice: what the user says of the RDMA device.
        offer: the node's streams.
        exports: the node's regions and tables.

    Attributes:
        where: with the port that it is.
    """

    def __init__(
        self,
        where: HostPort,
        credentials: Credentials | None,
        choice: DeviceChoice,
        offer: Offer,
        exports: Exports,
    ) -> None:
        chosen = Credentials.from_environment() if credentials is None else credentials
        from rdmaq.bootstrap.extra import grpc

        grpc()  # says what to install, before anything of it is imported
        from rdmaq.bootstrap.server import Server
        from rdmaq.node_verbs import VerbsDoor  # not before it is needed: verbs are much code

        self._offer, self._exports = offer, exports
        self._verbs = VerbsDoor(where.host, choice, exports, offer.find, self._end)
        self._server = Server(where.host, where.port, self, chosen, release=release())
        self.where = HostPort(where.host, self._server.port)

    def open(self) -> None:
        """Begins to answer."""
        self._server.start()

    def close(self) -> None:
        """Tells the peers, stops answering, and ends every session."""
        with ExitStack() as rest:  # the last one first
            rest.callback(self._verbs.close)
            rest.callback(self._server.close)
            self._verbs.say_farewell()

    def _end(self, session: bytes) -> None:
        self._server.sessions.end(session)

    # ---- what the server asks (on its threads) ----

    def describe(self) -> Description:
        """What the node offers now."""
        with self._offer.lock:
            streams = [self._offer.streams[name] for name in sorted(self._offer.streams)]
        missing = self._verbs.missing()
        offers = [region.to_message() for region in self._exports.infos()]
        return Description(
            release=release(),
            identity=Identity(
                boot_id=host_id(),
                pid=os.getpid(),
                hostname=socket.gethostname(),
                local_name=self.where.local_name,
                instance=self._offer.instance,
            ),
            streams=tuple(
                StreamOffer(
                    name=stream.name,
                    schema=stream.schema_text,
                    capacity_bytes=stream.capacity_bytes,
                    is_reliable=stream.flow.is_reliable,
                    epoch=stream.epoch,
                    next_sequence=stream.next_sequence,
                    guard_bytes=stream.segment.description.guard_bytes,
                )
                for stream in streams
                if not stream.closed
            ),
            regions=tuple(
                RegionOffer(**{**message, "shape": tuple(message["shape"])}) for message in offers
            ),
            transports=("shm",) if missing else ("shm", "verbs"),
            verbs_missing=missing,
        )

    def connect(self, session: bytes, ask: ConnectAsk, caller: str) -> ConnectGrant:
        """See `VerbsDoor.connect`."""
        return self._verbs.connect(session, ask, caller)

    def probe(self, session: bytes, proof: Proof) -> tuple[Probed, Proof]:
        """See `VerbsDoor.probe`."""
        return self._verbs.probe(session, proof)

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        """See `VerbsDoor.begin`."""
        return self._verbs.begin(session, position, cursor)

    def disconnect(self, session: bytes) -> None:
        """See `VerbsDoor.disconnect`."""
        self._verbs.disconnect(session)
