"""An RDMA device that is removed, and made again, under a node that lives on."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs.devices import Door, ports
from tests.rdma.broken import run
from tests.rdma.ends import connected
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


def test_what_waits_on_a_pair_ends_when_its_device_is_removed(rdma_wire: RdmaWire) -> None:
    """No completion tells of it; and the kernel waits until all of it is closed."""
    errors: list[rdmaq.RdmaqError] = []

    def wait() -> None:
        with connected(rdma_wire) as (left, _):
            is_waiting.set()
            try:
                left.pair.receive()
            except rdmaq.RdmaqError as error:
                errors.append(error)

    is_waiting = threading.Event()
    thread = threading.Thread(target=wait)
    thread.start()
    assert is_waiting.wait(60)
    with removed(rdma_wire):
        thread.join(60)
    assert len(errors) == 1
    assert f"{rdma_wire.left.name} was removed" in str(errors[0])
