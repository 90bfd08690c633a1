"""`connect("HOST:PORT")` over two devices of one machine, by the real bootstrap."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import rdmaq
from rdmaq import verbs
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma import broken
from tests.rdma.ends import census
from tests.rdma.sessions import INSECURE, calling, opened, read_words, serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

CONNECTS = 30


def test_strict_verbs_reach_a_node_of_the_same_host_by_the_wire(rdma_wire: RdmaWire) -> None:
    """What is in use is told: transport, both GIDs, MTU; and bytes move over the wire."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        assert peer.transport == "verbs"
        told = peer.negotiated()
        assert str(told["gid"]).startswith(rdma_wire.right.address)
        assert told["peer_gid"] == rdma_wire.left.address
        assert told["mtu_bytes"] == 4096
        assert [region.name for region in peer.regions()] == ["n"]
        before = rdma_wire.packets()
        assert peer.ping() > 0.0
        assert rdma_wire.packets() > before


def test_same_host_is_shared_memory_unless_told_otherwise(rdma_wire: RdmaWire) -> None:
    with serving(rdma_wire) as node:
        with rdmaq.connect(node.address, credentials=INSECURE, timeout=60) as peer:
            assert peer.transport == "shm"
        with rdmaq.connect(node.address, credentials=INSECURE, transport="verbs") as peer:
            assert peer.transport == "verbs"


def test_node_on_every_interface_takes_the_device_that_reaches_the_caller(
    rdma_wire: RdmaWire,
) -> None:
    """And one on loopback alone takes any: the bootstrap's network need not be the payload's."""
    for host in ("0.0.0.0", "127.0.0.1"):
        with rdmaq.Node(f"{host}:0", credentials=INSECURE) as node:
            port = node.address.rpartition(":")[2]
            address = f"127.0.0.1:{port}"
            with rdmaq.connect(
                address, credentials=INSECURE, transport="verbs", device=rdma_wire.right.name
            ) as peer:
                assert peer.ping() > 0.0
                assert str(peer.negotiated()["device"]).startswith(rdma_wire.right.name)


def test_devices_are_chosen_by_argument_and_by_environment(
    rdma_wire: RdmaWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(rdma_wire) as node:
        right = rdma_wire.right
        for name, value in (("device", right.name), ("interface", right.interface)):
            wish: dict[str, Any] = {name: value}
            with calling(rdma_wire, node, **wish) as peer:
                assert str(peer.negotiated()["gid"]).startswith(right.address)
        monkeypatch.setenv("RDMAQ_DEVICE", right.name)
        monkeypatch.setenv("RDMAQ_GID_INDEX", str(right.gid_index))
        with rdmaq.connect(node.address, credentials=INSECURE, transport="verbs") as peer:
            assert str(peer.negotiated()["gid"]).startswith(right.address)
        monkeypatch.setenv("RDMAQ_DEVICE", "rxe9")
        with pytest.raises(rdmaq.UnsupportedTransport, match=r"this side has none.*'rxe9'"):
            rdmaq.connect(node.address, credentials=INSECURE, transport="verbs")


def test_kinds_of_gids_that_do_not_fit_together_are_told_with_both(rdma_wire: RdmaWire) -> None:
    """The caller names a GID of another family; nothing is left at the node."""
    with serving(rdma_wire) as node:
        before = census().objects
        with pytest.raises(rdmaq.UnsupportedTransport, match=r"failed .*choose GIDs of one"):
            calling(rdma_wire, node, device=rdma_wire.right.name, gid_index=0)
        after = census().objects  # the node keeps its device for the next caller
        assert [after[name] for name in ("qp", "cq", "mr")] == [
            before[name] for name in ("qp", "cq", "mr")
        ]


def test_path_that_carries_less_than_the_mtu_is_found_before_it_is_used(
    rdma_wire: RdmaWire,
) -> None:
    """Large packets get lost on the way, small ones pass: told so, and an MTU of less works."""
    with serving(rdma_wire) as node, broken.dropped("udp dport 4791 meta length > 2000"):
        with pytest.raises(rdmaq.UnsupportedTransport, match=r"packets of 4096 bytes do not get"):
            calling(rdma_wire, node)
        smaller = verbs.PairSettings(mtu_bytes=1024)
        interface = rdma_wire.right.interface
        with calling(rdma_wire, node, interface=interface, pair_settings=smaller) as peer:
            assert peer.negotiated()["mtu_bytes"] == 1024
            with peer.region("n") as region:
                assert region.read().tolist() == list(range(100))


def test_session_reads_what_the_owner_wrote_and_its_close_ends_it_on_both_sides(
    rdma_wire: RdmaWire,
) -> None:
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        before = census()
        session = opened(peer)
        assert read_words(session) == list(range(10))
        assert session.ended() is None
        session.close()
        session.close()
        after = census()
        # The node keeps what it registered, for the next caller.
        assert after.objects | {"mr": 0} == before.objects | {"mr": 0}
        assert after.objects["mr"] == before.objects["mr"] + 1


def test_region_that_is_not_there_is_waited_for_and_named(rdma_wire: RdmaWire) -> None:
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        with pytest.raises(
            rdmaq.RegionNotFound, match=r"no region 'm' at .*: it offers 'n'"
        ) as told:
            opened(peer, "m")
        assert told.value.available == ("n",)
        node.table("t", "<u8", rows=2)
        with pytest.raises(rdmaq.RegionNotFound, match=r"is a table, no region: ask .* table\(\)"):
            opened(peer, "t")


def test_sessions_outlive_their_peer_and_close_the_device_behind_them(rdma_wire: RdmaWire) -> None:
    with serving(rdma_wire) as node:
        calling(rdma_wire, node).close()  # whatever is kept for the next caller, is now
        before = census()
        peer = calling(rdma_wire, node)
        session = opened(peer)
        peer.close()
        peer.close()
        assert read_words(session)[:3] == [0, 1, 2]
        with pytest.raises(rdmaq.ClosedError):
            peer.ping()
        session.close()
        assert census().objects | {"mr": 0} == before.objects | {"mr": 0}


@pytest.mark.timeout(1200)  # each takes seconds on a loaded machine under emulation
def test_thirty_connects_and_closes_leave_nothing(rdma_wire: RdmaWire) -> None:
    """Verbs objects by the kernel's count, and descriptors; with the node living and after it."""

    def connect_and_close(node: rdmaq.Node) -> None:
        with calling(rdma_wire, node) as peer:
            session = opened(peer)
            assert read_words(session, 2) == [0, 1]
            session.close()

    before = census()
    with serving(rdma_wire) as node:
        connect_and_close(node)  # the device, the registration and gRPC's threads stay
        first = census()
        for _ in range(CONNECTS // 2 - 1):  # two connections each: the peer's and the region's
            connect_and_close(node)
        last = census()
        assert last.objects == first.objects
        # gRPC's own come and go; a session that kept one would show as thirty.
        assert last.fds - first.fds < CONNECTS // 3
    assert census().objects == before.objects


def test_interpreter_that_closes_nothing_ends_quietly_and_leaves_nothing(
    rdma_wire: RdmaWire,
) -> None:
    """A script that forgets every close: its exit is clean, and the node finds out."""
    program = (
        "import sys, rdmaq\n"
        "peer = rdmaq.connect(sys.argv[1], credentials=rdmaq.Credentials(insecure=True),\n"
        "                     transport='verbs', interface=sys.argv[2])\n"
        "print(peer.transport, len(peer.regions()))\n"
    )
    with serving(rdma_wire) as node:
        words = [sys.executable, "-W", "error", "-c", program, node.address]
        done = subprocess.run(
            [*words, rdma_wire.right.interface], capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr, done.returncode) == ("verbs 1\n", "", 0)
        deadline = time.monotonic() + PATIENCE
        while census().objects["qp"] > GSI_PAIRS:
            assert time.monotonic() < deadline, "the node keeps a dead peer's queue pair"
            time.sleep(0.1)


PATIENCE = 60.0
GSI_PAIRS = 2  # each device has one of its own


def test_values_written_by_a_peer_are_the_owners(rdma_wire: RdmaWire) -> None:
    """A WRITE by the session's key lands in the exported array, and not beyond its end."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        export = node.export("w", np.zeros(4, "<i8"), access="write")
        session = opened(peer, "w")
        with session.domain.register(bytearray(np.arange(4, dtype="<i8").tobytes())) as own:
            session.pair.write(own, session.key()).wait(30)
        assert export.array.tolist() == [0, 1, 2, 3]
        session.close()
