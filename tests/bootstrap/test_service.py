"""Describe, connect, confirm, disconnect: what is told, agreed and undone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import rdmaq
from rdmaq.bootstrap.client import Client
from rdmaq.bootstrap.messages import ConnectAsk, ConnectGrant, Probed, Proof
from rdmaq.bootstrap.sessions import SessionLimits
from tests.bootstrap import rig
from tests.bootstrap.rig import ASK, OWN_PROOF, PROOF, SMALLER, serving
from tests.conformance.rig import eventually

ROOT = Path(__file__).parents[2]
GOOD = Probed(write_arrived=True, read_arrived=True)


def caller(port: int) -> Client:
    return Client("127.0.0.1", port, rdmaq.Credentials(), release="1.2.3")


def test_compiled_description_and_stub_are_those_of_the_proto_file(tmp_path: Path) -> None:
    """Compile again and compare every byte: nobody edits them, nobody forgets them."""
    (tmp_path / "rdmaq" / "bootstrap").mkdir(parents=True)
    shutil.copy(ROOT / "rdmaq/bootstrap/bootstrap.proto", tmp_path / "rdmaq/bootstrap")
    compiled = "rdmaq/bootstrap/bootstrap.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--pyi_out=."]
    command += [f"--descriptor_set_out={compiled}", "rdmaq/bootstrap/bootstrap.proto"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for name in (compiled, "rdmaq/bootstrap/bootstrap_pb2.pyi"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes(), (
            f"{name} is out of date: run scripts/protocol"
        )


def test_whole_life_of_a_session() -> None:
    """What is described arrives as it was; limits are the lesser of both; keys end with it."""
    with serving() as (server, backend), caller(server.port) as client:
        description, challenge = client.describe()
        assert description == backend.describe()
        grant, session = client.connect(ASK, challenge)
        assert backend.connected == {session}
        assert grant.agreed == SMALLER.common(ASK.pair.limits)
        assert (grant.agreed.mtu_bytes, grant.agreed.max_rd_atomic) == (1024, 16)
        assert [key.remote_key for key in grant.keys] == [rig.REMOTE_KEY]
        assert str(rig.REMOTE_KEY) not in repr(grant), "keys do not stand in logs"
        assert client.confirm(session, GOOD, PROOF) == (GOOD, OWN_PROOF)
        assert backend.proofs == [PROOF]
        assert PROOF.written.hex() not in repr(PROOF), "nor do proofs"
        assert backend.callers == ["ipv4:127.0.0.1"]
        assert server.sessions.counts()[:2] == (1, 0)
        client.disconnect(session)
        assert backend.connected == set()
        assert backend.ended == [session]
        with pytest.raises(rdmaq.BootstrapError, match="no such session"):
            client.disconnect(session)


@pytest.mark.parametrize("side", ["caller", "node"])
def test_probe_that_did_not_arrive_ends_the_session(side: str) -> None:
    """No confirmation without both probes, and no keys either."""
    lost = Probed(write_arrived=True, read_arrived=False)
    with serving() as (server, backend), caller(server.port) as client:
        backend.probed = lost if side == "node" else GOOD
        _, session = client.connect(ASK, client.describe()[1])
        if side == "node":
            assert client.confirm(session, GOOD, PROOF) == (lost, Proof())
        else:
            with pytest.raises(rdmaq.BootstrapError, match="probe did not arrive"):
                client.confirm(session, lost, Proof())
        assert backend.connected == set()
        assert server.sessions.counts()[:2] == (0, 0)


def test_probe_that_is_claimed_and_not_proved_confirms_nothing() -> None:
    """A Confirm without its proof, or with one of another length: refused, and not asked about."""
    with serving() as (server, backend), caller(server.port) as client:
        _, session = client.connect(ASK, client.describe()[1])
        for proof in (Proof(), Proof(written=b"w" * 16), Proof(written=b"w" * 15, read=b"r" * 16)):
            with pytest.raises(rdmaq.BootstrapError, match=r"its proof has another|does not prove"):
                client.confirm(session, GOOD, proof)
        assert backend.proofs == []
        assert server.sessions.counts()[:2] == (1, 1)


def test_probe_that_breaks_off_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that raises: the session is undone, and the server goes on."""
    with serving() as (server, backend), caller(server.port) as client:
        monkeypatch.setattr(backend, "probe", lambda *_: 1 / 0)
        _, session = client.connect(ASK, client.describe()[1])
        with pytest.raises(rdmaq.BootstrapError, match="look at its own log"):
            client.confirm(session, GOOD, PROOF)
        assert backend.connected == set()
        assert server.sessions.counts()[:2] == (0, 0)


def test_session_is_confirmed_once() -> None:
    """A second Confirm is refused, and the session lives on."""
    with serving() as (server, backend), caller(server.port) as client:
        _, session = client.connect(ASK, client.describe()[1])
        client.confirm(session, GOOD, PROOF)
        with pytest.raises(rdmaq.BootstrapError, match="confirmed already"):
            client.confirm(session, GOOD, PROOF)
        assert backend.connected == {session}


def test_refusal_of_the_backend_reaches_the_caller_and_leaves_nothing() -> None:
    """A region that is not there: its words arrive, no session stays."""
    ask = ConnectAsk(pair=ASK.pair, regions=("else",), probe=ASK.probe)
    with serving() as (server, backend), caller(server.port) as client:
        with pytest.raises(rdmaq.BootstrapError, match="ask for 'book'"):
            client.connect(ask, client.describe()[1])
        assert server.sessions.counts()[:2] == (0, 0)
        assert backend.connected == set()


def test_peer_that_vanishes_before_it_confirms_loses_its_keys() -> None:
    """Connect and hang up: the session expires by the node's own clock, with nobody calling."""
    with serving(limits=SessionLimits(confirm_seconds=0.2)) as (server, backend):
        with caller(server.port) as client:
            _, session = client.connect(ASK, client.describe()[1])
            assert backend.connected == {session}
        eventually(lambda: backend.ended == [session], "the session to expire")
        assert backend.connected == set()
        with caller(server.port) as client, pytest.raises(rdmaq.BootstrapError, match="expired"):
            client.confirm(session, GOOD, PROOF)


def test_closing_the_server_ends_every_session() -> None:
    """Half open and confirmed alike; nothing answers afterwards; a second close does nothing."""
    with serving() as (server, backend), caller(server.port) as client:
        _, first = client.connect(ASK, client.describe()[1])
        client.connect(ASK, client.describe()[1])
        client.confirm(first, GOOD, PROOF)
        server.close()
        assert backend.connected == set()
        assert len(backend.ended) == 2
        server.close()
        with pytest.raises(rdmaq.PeerNotFound):
            client.describe()


def test_standard_health_service_answers_without_a_token() -> None:
    """Serving; and it tells nothing else to who has no token."""
    with serving(rdmaq.Credentials(token=rig.TOKEN)) as (server, _):
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING
        status, _ = rig.refusal(server.port, "/grpc.health.v1.Health/List", b"")
        assert status == "UNAUTHENTICATED"


def test_two_nodes_cannot_have_one_port() -> None:
    """AddressInUse, where gRPC alone would share the port between them."""
    with serving() as (server, _), pytest.raises(rdmaq.AddressInUse, match="cannot be listened at"):
        rdmaq.Node(f"127.0.0.1:{server.port}")


def test_session_that_expires_while_it_is_made_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its end was told before the backend knew it, and must be told again."""
    limits = SessionLimits(connect_seconds=0.1)
    with serving(limits=limits) as (server, backend), caller(server.port) as client:
        connect = backend.connect

        def connect_late(session: bytes, ask: ConnectAsk, who: str) -> ConnectGrant:
            eventually(lambda: session in backend.ended)
            return connect(session, ask, who)

        monkeypatch.setattr(backend, "connect", connect_late)
        with pytest.raises(rdmaq.BootstrapError, match=r"took too long to make: .+; connect again"):
            client.connect(ASK, client.describe()[1])
        assert backend.connected == set()
        assert server.sessions.counts()[0] == 0


def test_health_can_be_watched() -> None:
    """The standard's other call: serving, and no more when the node closes; no thread is held."""
    with serving() as (server, _), ExitStack() as stack:
        watched: list[Any] = []
        for _ in range(7):
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.insecure_channel(f"127.0.0.1:{server.port}", options)
            stub: Any = health_pb2_grpc.HealthStub(stack.enter_context(channel))
            watched += [stub.Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(10)]
        for answers in watched:  # more of them than the server has threads
            assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
        with caller(server.port) as client:
            client.describe()
        server.close()
        assert next(watched[0]).status == health_pb2.HealthCheckResponse.NOT_SERVING
