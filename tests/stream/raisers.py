"""What raises each class that regions, tables and the bootstrap have of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rdmaq
from rdmaq import errors, node_network
from rdmaq.bootstrap import wire
from tests.conformance.rig import PATIENCE_SECONDS, Link, eventually


def _revoked(link: Link) -> None:
    export = link.node.export("n", np.zeros(1))
    with link.peer.region("n") as region:
        export.revoke()
        region.read()


def _write_to_read_only(link: Link) -> None:
    link.node.export("n", np.zeros(1))
    with link.peer.region("n") as region:
        region.write(0, 1)


def _out_of_bounds(link: Link) -> None:
    link.node.table("t", "<u8", rows=2).update(2, 1)


def _exported_twice(link: Link) -> None:
    for _ in range(2):
        link.node.export("n", np.zeros(1))


def _peer_gone(link: Link) -> None:
    """A hang-up without a revocation is what the kernel makes of a killed process."""
    link.node.export("n", np.zeros(1))
    with link.peer.region("n") as region:
        region.read()
        link.node._listener.close()
        found: list[errors.PeerGone] = []

        def is_told() -> bool:
            try:
                region.read()
            except errors.PeerGone as error:
                found.append(error)
            return bool(found)

        try:
            eventually(is_told)
        finally:
            link.node._is_closed = True
        raise found[0]


def _row_busy(link: Link) -> None:
    link.node.table("t", "<u8", rows=2)
    with link.peer.table("t") as reader:
        reader.channel.read_rows = lambda *_: 0  # type: ignore[method-assign]
        reader.read(timeout=0.0)


def _unauthenticated(_: Link) -> None:
    with rdmaq.Node("localhost:0", credentials=rdmaq.Credentials(token="t" * 16)) as node:
        rdmaq.connect(node.address, timeout=PATIENCE_SECONDS)


def _other_version(_: Link) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "MAJOR", 2)
        with rdmaq.Node("localhost:0") as node:
            rdmaq.connect(node.address, timeout=PATIENCE_SECONDS)


def _out_of_order(_: Link) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_network, "host_id", lambda: b"short")
        with rdmaq.Node("localhost:0") as node:
            rdmaq.connect(node.address, timeout=PATIENCE_SECONDS)


NETWORK_RAISERS: dict[type[Exception], Callable[[Link], object]] = {
    errors.AuthenticationError: _unauthenticated,
    errors.BootstrapError: _out_of_order,
    errors.CredentialsError: lambda _: rdmaq.Node("0.0.0.0:7471"),
    errors.UnsupportedTransport: lambda _: rdmaq.connect("local:x", transport="verbs"),
    errors.VersionMismatch: _other_version,
}

REGION_RAISERS: dict[type[Exception], Callable[[Link], object]] = {
    errors.PeerGone: _peer_gone,
    errors.RegionAccessError: _write_to_read_only,
    errors.RegionBoundsError: _out_of_bounds,
    errors.RegionError: lambda link: link.node.table("t", "<u8", rows=0),
    errors.RegionExists: _exported_twice,
    errors.RegionNotFound: lambda link: link.peer.region("n"),
    errors.RegionRevoked: _revoked,
    errors.RowBusy: _row_busy,
}
