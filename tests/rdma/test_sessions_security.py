"""Keys of sessions on real verbs: for whom they work, and until when; and who is not believed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial

import pytest

import rdmaq
from rdmaq import verbs
from rdmaq.bootstrap.client import Client
from rdmaq.bootstrap.messages import ConnectAsk, Probed, Proof
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.sessions import attributes, probe
from rdmaq.sessions.calling import CallingSession
from tests.bootstrap import rig
from tests.rdma.ends import census
from tests.rdma.sessions import INSECURE, calling, opened, patiently, read_words, serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

GOOD = Probed(write_arrived=True, read_arrived=True)


def refused(session: CallingSession, remote: verbs.RemoteMemory, *, is_write: bool = False) -> bool:
    """Whether the node's NIC refuses that; the session's pair is lost then."""
    with session.domain.register(bytearray(8)) as own:
        post = session.pair.write if is_write else session.pair.read
        with pytest.raises(rdmaq.OperationFailed) as caught:
            post(own, remote[0:8]).wait(30)
    return caught.value.status == verbs.Status.REM_ACCESS_ERR


def objects() -> dict[str, int]:
    """What leaks where a session does: its pair, queue, and probe memory."""
    found = census().objects
    return {name: found[name] for name in ("qp", "cq", "mr")}


def test_key_works_for_its_own_session_and_until_its_disconnect_only(rdma_wire: RdmaWire) -> None:
    """Another session's pair uses it while it is good, and after its end: refused, both times."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer, ExitStack() as stack:
        one = stack.enter_context(opened(peer))
        key = one.key()
        thief = stack.enter_context(opened(peer))
        assert refused(thief, key)
        assert read_words(one)[:3] == [0, 1, 2]
        one.close()
        late = stack.enter_context(opened(peer))
        assert refused(late, key)
        other = stack.enter_context(opened(peer))
        assert read_words(other)[:3] == [0, 1, 2]


def test_wrong_keys_and_places_open_nothing(rdma_wire: RdmaWire) -> None:
    """Bits turned, before and behind the region, behind the node's probe memory."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:

        def altered(change: Callable[[verbs.RemoteMemory], verbs.RemoteMemory]) -> None:
            with opened(peer) as session:
                assert refused(session, change(session.key()))

        def moved(key: verbs.RemoteMemory, rkey: int = 0, by: int = 0) -> verbs.RemoteMemory:
            return verbs.RemoteMemory(address=key.address + by, length=8, rkey=key.rkey ^ rkey)

        altered(lambda key: moved(key, rkey=1))
        altered(lambda key: moved(key, rkey=0x100))
        altered(lambda key: moved(key, by=800))
        altered(lambda key: moved(key, by=-8))
        with opened(peer) as session:
            target = session._target
            assert refused(session, moved(target, by=target.length))


def test_export_for_reading_has_no_key_for_writing(rdma_wire: RdmaWire) -> None:
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        export = node.export("r", [1, 2, 3], access="read")
        with opened(peer, "r") as session:
            assert refused(session, session.key(), is_write=True)
        assert export.array.tolist() == [1, 2, 3]


def test_revoked_export_is_refused_and_told_and_others_go_on(rdma_wire: RdmaWire) -> None:
    """By the next operation, and without one; another region's session never notices."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer, ExitStack() as stack:
        export = node.export("x", [1, 2, 3], access="write")
        before = objects()
        session, told = (stack.enter_context(opened(peer, "x")) for _ in range(2))
        other = stack.enter_context(opened(peer))
        export.revoke()
        assert refused(session, session.key())
        patiently(lambda: told.ended() is not None, "the word that it was revoked")
        assert isinstance(told.ended(), rdmaq.RegionRevoked)
        assert other.ended() is None
        assert read_words(other)[:3] == [0, 1, 2]
        stack.close()
        patiently(lambda: objects() | {"mr": 0} == before | {"mr": 0}, "the revoked sessions' end")
        with pytest.raises(rdmaq.RegionNotFound):
            opened(peer, "x")


def test_node_that_closes_tells_its_peers_and_leaves_nothing(rdma_wire: RdmaWire) -> None:
    before = objects()
    with ExitStack() as stack:
        node = stack.enter_context(serving(rdma_wire))
        peer = stack.enter_context(calling(rdma_wire, node))
        session = stack.enter_context(opened(peer))
        node.close()
        told = session.ended()
        assert isinstance(told, rdmaq.RegionRevoked)
        assert "its node was closed" in str(told)
    assert objects() == before


@contextmanager
def half_open(
    rdma_wire: RdmaWire, node: rdmaq.Node, credentials: rdmaq.Credentials = INSECURE
) -> Iterator[tuple[Client, bytes, verbs.Pair]]:
    """Connects with a real queue pair, and does not confirm."""
    host, _, port = node.address.rpartition(":")
    with (
        verbs.open(interface=rdma_wire.right.interface) as device,
        device.domain() as domain,
        domain.pair() as pair,
        Client(host, int(port), credentials, release="1") as client,
    ):
        own = probe.ProbeMemory(domain, probe.OPEN)
        ask = ConnectAsk(pair=attributes.to_message(pair), regions=("n",), probe=own.target)
        grant, session = client.connect(ask, client.describe()[1])
        pair.connect(attributes.to_address(grant.pair))
        yield client, session, pair


def test_peer_that_vanishes_before_it_confirms_leaves_nothing(rdma_wire: RdmaWire) -> None:
    """Its queue pair at the node goes by the node's own clock; others are served meanwhile."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        opened(peer).close()  # what is kept for the next caller, is now
        before = objects()
        with half_open(rdma_wire, node):
            assert objects()["qp"] == before["qp"] + 2
        assert objects()["qp"] == before["qp"] + 1  # the node waits for its Confirm
        with opened(peer) as session:
            assert read_words(session)[:3] == [0, 1, 2]
        patiently(lambda: objects() == before, "the session to expire")


def test_proof_that_is_made_up_confirms_nothing(rdma_wire: RdmaWire) -> None:
    """Numbers that nobody wrote or read: refused with the reason, and the session is undone."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        opened(peer).close()
        before = objects()
        with half_open(rdma_wire, node) as (client, session, _):
            with pytest.raises(rdmaq.BootstrapError, match=r"proof does not fit; .*answering"):
                client.confirm(session, GOOD, Proof(written=b"w" * 16, read=b"r" * 16))
            with pytest.raises(rdmaq.BootstrapError, match="no such session"):
                client.disconnect(session)
        assert objects() == before


def limit_half_open(node: rdmaq.Node, count: int) -> None:
    """Fewer than the default, since an emulated machine is too slow to have 16 within 10 s."""
    assert node._door is not None
    sessions = node._door._server.sessions
    sessions._limits = replace(
        sessions._limits, half_open_per_caller_max=count, confirm_seconds=30.0
    )


def test_callers_that_do_not_confirm_disturb_no_legitimate_peer(rdma_wire: RdmaWire) -> None:
    """Mutual TLS: one certificate connects without end, from four threads; another one works."""
    folder = rig.certificates()
    node_side = rig.node_credentials(folder)
    flooder, good = (rig.peer_credentials(folder, name=name) for name in ("other", "peer"))
    with ExitStack() as stack:
        node = stack.enter_context(rdmaq.Node("127.0.0.1:0", credentials=node_side))
        node.export("n", list(range(100)))
        limit_half_open(node, 4)
        peer = stack.enter_context(calling(rdma_wire, node, good))
        opened(peer).close()
        before = objects()
        device = stack.enter_context(verbs.open(interface=rdma_wire.right.interface))
        pair = stack.enter_context(device.domain().pair())
        own = probe.ProbeMemory(pair.domain, probe.OPEN)
        ask = ConnectAsk(pair=attributes.to_message(pair), regions=("n",), probe=own.target)
        counts = {"granted": 0, "refused": 0}
        told: set[str] = set()

        def flood() -> None:
            host, _, port = node.address.rpartition(":")
            with Client(host, int(port), flooder, release="1") as client:
                for _ in range(8):
                    try:
                        client.connect(ask, client.describe()[1])
                    except rdmaq.BootstrapError as error:
                        told.add(str(error).partition("refused: ")[2][:30])
                        counts["refused"] += 1
                    else:
                        counts["granted"] += 1

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            with opened(peer) as session:
                assert read_words(session)[:3] == [0, 1, 2]
        for thread in threads:
            thread.join()
        assert counts["granted"] + counts["refused"] == 32
        assert counts["refused"] > 0
        assert told == {"this caller has 4 connections "}
        own.memory.close()
        pair.close()
        patiently(lambda: objects() == before, "all of them to expire")
        with opened(peer) as session:
            assert read_words(session)[:3] == [0, 1, 2]


_PEER = """
import sys, rdmaq
peer = rdmaq.connect(sys.argv[1], credentials=rdmaq.Credentials(insecure=True),
                     transport='verbs', interface=sys.argv[2])
region = peer.region('n')
print('here', flush=True)
sys.stdin.read()
"""
_NODE = """
import sys, rdmaq
node = rdmaq.Node(sys.argv[1] + ':0', credentials=rdmaq.Credentials(insecure=True))
export = node.export('n', list(range(100)))
print(node.address, flush=True)
sys.stdin.read()
"""


@contextmanager
def process(program: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, and the first line that it prints."""
    child = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        yield child, child.stdout.readline().strip()
    finally:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
            child.kill()
        child.communicate()


def looks_at(node: rdmaq.Node) -> dict[bytes, float]:
    """When the node last saw each of its peers alive."""
    assert node._door is not None
    sessions = node._door._verbs._open_sessions()
    assert sessions
    return {name: session._beat_seconds for name, session in sessions if session._beat is None}


def was_seen_since(node: rdmaq.Node, looks: dict[bytes, float]) -> bool:
    """Whether each of them was seen alive once more."""
    now = looks_at(node)
    return all(now.get(name, 0.0) > then for name, then in looks.items())


def test_peer_that_is_killed_is_found_out_and_one_that_is_stopped_is_not(
    rdma_wire: RdmaWire,
) -> None:
    """The node's READs: a stopped process' NIC answers them, a dead one's queue pair is gone."""
    with serving(rdma_wire) as node:
        before = objects()
        words = (node.address, rdma_wire.right.interface)
        with process(_PEER, *words) as (stopped, said), process(_PEER, *words) as (killed, too):
            assert (said, too) == ("here", "here")
            stopped.send_signal(signal.SIGSTOP)
            with_both = objects()["qp"]
            killed.kill()
            killed.wait()
            with_one = with_both - 4  # two connections of each, with two ends
            patiently(lambda: objects()["qp"] <= with_one, "the killed peer's end")
            for _ in range(2):
                patiently(lambda: looks_at(node), "a look that ended")
                looks = looks_at(node)
                patiently(partial(was_seen_since, node, looks), "the next look")
            assert objects()["qp"] == with_one
        patiently(lambda: objects()["qp"] == before["qp"], "the other one's end")


def test_node_that_is_killed_is_told_as_gone(rdma_wire: RdmaWire) -> None:
    with process(_NODE, rdma_wire.left.address) as (node, address):
        peer = rdmaq.connect(
            address, credentials=INSECURE, transport="verbs", interface=rdma_wire.right.interface
        )
        with peer, peer.region("n") as region:
            assert region.read(slice(0, 3)).tolist() == [0, 1, 2]
            node.kill()
            node.wait()
            with pytest.raises(rdmaq.PeerGone, match=r"RETRY_EXC_ERR.*queue pair"):
                region.read(0)
            with pytest.raises(rdmaq.PeerNotFound, match="no answer from the node"):
                peer.ping()


def test_device_without_windows_keeps_callers_apart_by_their_domains(
    rdma_wire: RdmaWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key opens the region to one caller's pairs, not to another's, and to none when revoked."""
    of = verbs.DeviceLimits.of
    monkeypatch.setattr(
        verbs.DeviceLimits, "of", lambda *made: replace(of(*made), has_windows=False)
    )
    folder = rig.certificates()
    one, other = (rig.peer_credentials(folder, name=name) for name in ("peer", "other"))
    before = objects()
    with ExitStack() as stack:
        node_side = rig.node_credentials(folder)
        node = stack.enter_context(rdmaq.Node("127.0.0.1:0", credentials=node_side))
        export = node.export("n", list(range(100)), access="read")
        peer = stack.enter_context(calling(rdma_wire, node, one))
        stranger = stack.enter_context(calling(rdma_wire, node, other))
        session = stack.enter_context(opened(peer))
        assert read_words(session)[:3] == [0, 1, 2]
        assert refused(stack.enter_context(opened(stranger)), session.key())
        assert refused(stack.enter_context(opened(peer)), session.key(), is_write=True)
        with opened(peer) as second:
            key = second.key()
        export.revoke()
        assert refused(session, key)
    assert objects() == before
