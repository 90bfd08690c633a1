"""A node's door to other hosts: the bootstrap server, and what it is told of the node."""

from __future__ import annotations

import importlib.metadata
import os
import socket
from contextlib import suppress

from rdmaq.address import HostPort
from rdmaq.bootstrap.credentials import Credentials
from rdmaq.bootstrap.messages import (
    ConnectAsk,
    ConnectGrant,
    Description,
    Identity,
    Probed,
    Proof,
    Refusal,
    RegionOffer,
    StreamOffer,
)
from rdmaq.region.exports import Exports
from rdmaq.shm.segment import host_id
from rdmaq.stream.offer import Offer


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
        offer: the node's streams.
        exports: the node's regions and tables.

    Attributes:
        where: with the port that it is.
    """

    def __init__(
        self, where: HostPort, credentials: Credentials | None, offer: Offer, exports: Exports
    ) -> None:
        chosen = Credentials.from_environment() if credentials is None else credentials
        from rdmaq.bootstrap.extra import grpc

        grpc()  # says what to install, before anything of it is imported
        from rdmaq.bootstrap.server import Server

        self._offer, self._exports = offer, exports
        self._server = Server(where.host, where.port, self, chosen, release=release())
        self.where = HostPort(where.host, self._server.port)

    def open(self) -> None:
        """Begins to answer."""
        self._server.start()

    def close(self) -> None:
        """Stops answering, and ends every session."""
        self._server.close()

    # ---- what the server asks (on its threads) ----

    def describe(self) -> Description:
        """What the node offers now."""
        with self._offer.lock:
            streams = [self._offer.streams[name] for name in sorted(self._offer.streams)]
        offers = [region.to_message() for region in self._exports.infos()]
        return Description(
            release=release(),
            identity=Identity(
                boot_id=host_id(),
                pid=os.getpid(),
                hostname=socket.gethostname(),
                local_name=self.where.local_name,
            ),
            streams=tuple(
                StreamOffer(
                    name=stream.name,
                    schema=stream.schema_text,
                    capacity_bytes=stream.capacity_bytes,
                    is_reliable=stream.flow.is_reliable,
                    epoch=stream.epoch,
                    next_sequence=stream.next_sequence,
                )
                for stream in streams
                if not stream.closed
            ),
            regions=tuple(
                RegionOffer(**{**message, "shape": tuple(message["shape"])}) for message in offers
            ),
            transports=("shm",),
        )

    def connect(self, _session: bytes, _ask: ConnectAsk, _caller: str) -> ConnectGrant:
        """Queue pairs are not made by this release."""
        raise Refusal(
            "this node offers no queue pairs: transport verbs is not served by its release; call "
            "from a process of its own host"
        )

    def probe(self, _session: bytes, _proof: Proof) -> tuple[Probed, Proof]:
        """Nothing is connected, so nothing arrives."""
        return Probed(write_arrived=False, read_arrived=False), Proof()

    def disconnect(self, _session: bytes) -> None:
        """Nothing is held for a session."""
