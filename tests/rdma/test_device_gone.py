"""An RDMA device that is removed, and made again, under a node that lives on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs.devices import Door, ports
from tests.rdma.broken import run
from tests.rdma.sessions import calling, patiently, serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]


@contextmanager
def removed(wire: RdmaWire) -> Iterator[None]:
    """The left device goes, which waits for whoever has it open; then it is made again."""
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    words = ["rdma", "link", "delete", wire.left.name]
    with subprocess.Popen(words, env=environment) as removing:
        try:
            patiently(lambda: removing.poll() is not None, "the device to be let go")
            assert removing.returncode == 0
            yield
        finally:
            removing.kill()
            if Door.of(wire.left.name) is None:
                run(
                    "rdma",
                    "link",
                    "add",
                    wire.left.name,
                    "type",
                    "rxe",
                    "netdev",
                    wire.left.interface,
                )
            patiently(lambda: has_address(wire), "its GID")


def has_address(wire: RdmaWire) -> bool:
    return any(
        gid.index == wire.left.gid_index and str(gid.address) == wire.left.address
        for port in ports(device=wire.left.name)
        for gid in port.gids
    )


def test_node_lets_a_device_go_and_serves_by_the_one_that_takes_its_place(
    rdma_wire: RdmaWire,
) -> None:
    """Its sessions are ended, for the kernel waits for that; who connects anew is served.

    The owner's own atomics, which went by that device, go on.
    """
    with serving(rdma_wire) as node:
        count = node.export("count", [0], access="atomic")
        with calling(rdma_wire, node) as peer, peer.region("count") as region:
            assert region.fetch_add(0, 1) == 0
            assert count.fetch_add(0, 1) == 1
            with removed(rdma_wire):
                assert count.fetch_add(0, 1) == 2
            with pytest.raises((rdmaq.PeerGone, rdmaq.RegionRevoked)):
                region.fetch_add(0, 1)
        with calling(rdma_wire, node) as peer, peer.region("count") as region:
            assert region.fetch_add(0, 1) == 3
            assert count.fetch_add(0, 1) == 4
