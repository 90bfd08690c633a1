"""Who is refused, with which reason, and that nobody else notices."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rdmaq
from rdmaq import certs
from rdmaq.bootstrap import bootstrap_pb2 as pb
from rdmaq.bootstrap import server as server_module
from rdmaq.bootstrap import wire
from rdmaq.bootstrap.client import Client
from rdmaq.bootstrap.messages import Probed
from rdmaq.bootstrap.sessions import SessionLimits
from tests.bootstrap import rig
from tests.bootstrap.rig import ASK, OWN_PROOF, PROOF, TOKEN, serving
from tests.conformance.rig import eventually

GOOD = Probed(write_arrived=True, read_arrived=True)


def client_of(port: int, credentials: rdmaq.Credentials | None = None) -> Client:
    return Client("localhost", port, credentials or rdmaq.Credentials(), release="1.2.3")


def check_serves(port: int, credentials: rdmaq.Credentials | None = None) -> None:
    """A legitimate peer gets all the way, at once."""
    with client_of(port, credentials) as client:
        _, session = client.connect(ASK, client.describe()[1])
        assert client.confirm(session, GOOD, PROOF) == (GOOD, OWN_PROOF)
        client.disconnect(session)


STRANGERS: dict[str, Callable[[], rdmaq.Credentials]] = {
    "certificate of another authority": lambda: rig.peer_credentials(
        rig.certificates(29), ca=rig.certificates()
    ),
    "expired certificate": lambda: expired_peer(),
    "no certificate": lambda: rig.peer_credentials(rig.certificates(), name=None),
    "no TLS": lambda: rdmaq.Credentials(),
}


def expired_peer() -> rdmaq.Credentials:
    """Of the right authority, and of yesterday."""
    folder = rig.certificates_with_expired_peer()
    return rig.peer_credentials(folder, name="expired")


@pytest.mark.parametrize("who", STRANGERS)
def test_stranger_is_refused_with_a_reason_and_told_nothing(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutual TLS: the backend is never asked; a peer with a good certificate goes on."""
    folder = rig.certificates_with_expired_peer() if who.startswith("exp") else rig.certificates()
    with serving(rig.node_credentials(folder)) as (server, backend):
        asked: list[str] = []
        monkeypatch.setattr(backend, "describe", lambda: asked.append("describe"))
        with (
            client_of(server.port, STRANGERS[who]()) as client,
            pytest.raises(rdmaq.AuthenticationError, match=r".+: .+; .+"),
        ):
            client.describe()
        assert asked == []
        monkeypatch.undo()
        check_serves(server.port, rig.peer_credentials(folder))


def test_node_of_another_authority_is_not_believed() -> None:
    """The caller refuses: nothing of its token is shown to that node."""
    with serving(rig.node_credentials(rig.certificates(29), mutual=False)) as (server, _):
        credentials = rig.peer_credentials(rig.certificates(), name=None, token=TOKEN)
        with (
            client_of(server.port, credentials) as client,
            pytest.raises(rdmaq.AuthenticationError, match="ca_file's authority"),
        ):
            client.describe()


def test_caller_cannot_pose_as_the_node_with_his_own_certificate(tmp_path: Path) -> None:
    """Of the same authority, and called as the node's host is: good for callers, and no more."""
    certs.make(tmp_path / "pki", [], peers=("localhost",))
    pki = tmp_path / "pki"
    posing = rdmaq.Credentials(
        certificate_file=pki / "localhost.pem", key_file=pki / "localhost.key"
    )
    with serving(posing) as (server, backend):
        credentials = rdmaq.Credentials(ca_file=pki / "ca.pem", token=TOKEN)
        client = client_of(server.port, credentials)
        with client, pytest.raises(rdmaq.AuthenticationError, match=r"TLS with .+ failed"):
            client.describe()
        assert backend.callers == []


def test_node_whose_certificate_bears_another_name_is_not_believed() -> None:
    """`server_name` is what the certificate must bear."""
    folder = rig.certificates()
    with serving(rig.node_credentials(folder, mutual=False)) as (server, _):
        wrong = rdmaq.Credentials(ca_file=folder / "ca.pem", server_name="elsewhere.example")
        with client_of(server.port, wrong) as client, pytest.raises(rdmaq.AuthenticationError):
            client.describe()
        check_serves(server.port, rdmaq.Credentials(ca_file=folder / "ca.pem"))


@pytest.mark.parametrize("shown", [None, TOKEN + "x", TOKEN[:-1], "é" * 3])
def test_wrong_token_is_refused_by_every_call(shown: str | None) -> None:
    """UNAUTHENTICATED before anything is parsed, let alone granted; the right one goes on."""
    with serving(rdmaq.Credentials(token=TOKEN)) as (server, backend):
        metadata: list[tuple[str, str | bytes]] = []
        if shown is not None and shown.isascii():
            metadata = [("authorization", f"Bearer {shown}")]
        elif shown is not None:
            metadata = [("authorization-bin", shown.encode())]
        for method in ("Describe", "Connect", "Confirm", "Disconnect"):
            status, reason = rig.refusal(server.port, method, b"garbage", metadata=metadata)
            assert status == "UNAUTHENTICATED"
            assert "RDMAQ_TOKEN" in reason
        if shown is None or shown.isascii():
            with (
                client_of(server.port, rdmaq.Credentials(token=shown)) as client,
                pytest.raises(rdmaq.AuthenticationError, match="asks for a token"),
            ):
                client.describe()
        assert backend.connected == set()
        check_serves(server.port, rdmaq.Credentials(token=TOKEN))


@pytest.mark.parametrize("method", ["Describe", "Connect"])
@pytest.mark.parametrize("major", [0, 2, 2**32 - 1])
def test_other_major_version_is_refused_with_both_numbers(method: str, major: int) -> None:
    """Also none at all, which reads as 0."""
    request = pb.DescribeRequest(version=pb.Version(major=major))
    if method == "Connect":
        request = pb.ConnectRequest(version=pb.Version(major=major))  # type: ignore[assignment]
    with serving() as (server, _):
        status, reason = rig.refusal(server.port, method, request.SerializeToString())
        assert status == "FAILED_PRECONDITION"
        assert f"version {major}, the node 1" in reason
        check_serves(server.port)


def test_node_of_another_major_version_is_refused_by_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """VersionMismatch on this side, too."""
    with serving() as (server, _):
        reply = wire.describe_reply

        def newer(*arguments: Any) -> pb.DescribeReply:
            made = reply(*arguments)
            made.version.major = 2
            return made

        monkeypatch.setattr(wire, "describe_reply", newer)
        with (
            client_of(server.port) as client,
            pytest.raises(rdmaq.VersionMismatch, match="version 2, this side 1"),
        ):
            client.describe()


@pytest.mark.parametrize("method", ["Describe", "Connect", "Confirm", "Disconnect"])
@pytest.mark.parametrize("what", ["random", "text", "endless field", "empty"])
def test_garbage_is_refused_and_the_server_goes_on(method: str, what: str) -> None:
    """A status with a reason, never INTERNAL; nothing granted."""
    packet = {
        "random": os.urandom(500),
        "text": b"GET / HTTP/1.1\r\n\r\n",
        "endless field": b"\x0a\xff\xff\xff\xff\x0f",
        "empty": b"",
    }[what]
    with serving() as (server, backend):
        status, reason = rig.refusal(server.port, method, packet)
        assert status in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
        assert reason
        assert backend.connected == set()
        check_serves(server.port)


def test_oversized_request_is_refused() -> None:
    """More than 64 KiB is not even read whole."""
    with serving() as (server, _):
        packet = pb.DescribeRequest(version=pb.Version(major=1, release="x" * (1 << 20)))
        status, reason = rig.refusal(server.port, "Describe", packet.SerializeToString())
        assert status == "RESOURCE_EXHAUSTED"
        assert "larger than max" in reason
        check_serves(server.port)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Two ends of a thousand connections are this process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SILENT_COUNT * 2 + 500
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SILENT_COUNT = 1000


@pytest.mark.usefixtures("many_files")
def test_thousand_connections_that_never_speak_leave_a_legitimate_peer_undisturbed() -> None:
    """Half open at the level of TCP: some end within a TLS handshake, some sent garbage.

    A peer gets all the way meanwhile; the server hangs up on all of them within its own time.
    """
    folder = rig.certificates()
    with serving(rig.node_credentials(folder)) as (server, backend):
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(SILENT_COUNT)]
        try:
            for sock in silent[:50]:
                sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # half a ClientHello
            for sock in silent[50:100]:
                sock.sendall(os.urandom(512))
            for _ in range(3):
                check_serves(server.port, rig.peer_credentials(folder))
            for sock in silent:
                sock.settimeout(60)
                assert is_at_its_end(sock), "the server keeps who never speaks"
        finally:
            for sock in silent:
                sock.close()
        check_serves(server.port, rig.peer_credentials(folder))
        assert backend.connected == set()
        assert server.sessions.counts()[:2] == (0, 0)


def is_at_its_end(sock: socket.socket) -> bool:
    """Whether the other side hung up; what it said before does not matter."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def test_replayed_connect_is_refused() -> None:
    """The very same bytes a second time: no second session, no keys."""
    with serving() as (server, backend), client_of(server.port) as client:
        _, challenge = client.describe()
        packet = wire.connect_request(ASK, challenge, "1.2.3").SerializeToString()
        rig.raw_call(server.port, "Connect", packet)
        status, reason = rig.refusal(server.port, "Connect", packet)
        assert status == "INVALID_ARGUMENT"
        assert "replay" in reason
        assert len(backend.connected) == 1


def test_challenge_that_was_forged_changed_or_is_late_is_refused() -> None:
    """Zeros, one bit turned, another server's, an expired one."""
    limits = SessionLimits(challenge_seconds=0.0)
    with serving() as (server, backend), serving(limits=limits) as (late, _):
        with client_of(server.port) as client, client_of(late.port) as other:
            challenge = client.describe()[1]
            turned = bytes([challenge[0] ^ 1]) + challenge[1:]
            for wrong in (bytes(64), turned, other.describe()[1], challenge[:-1], b""):
                with pytest.raises(rdmaq.BootstrapError, match="challenge"):
                    client.connect(ASK, wrong)
            with pytest.raises(rdmaq.BootstrapError, match="expired"):
                other.connect(ASK, other.describe()[1])
        assert backend.connected == set()


def test_session_and_challenge_are_of_use_to_their_own_caller_only() -> None:
    """Another certificate of the same authority can neither confirm nor end it."""
    folder = rig.certificates()
    with serving(rig.node_credentials(folder)) as (server, backend):
        own = client_of(server.port, rig.peer_credentials(folder))
        thief = client_of(server.port, rig.peer_credentials(folder, name="other"))
        with own, thief:
            _, challenge = own.describe()
            with pytest.raises(rdmaq.BootstrapError, match="not one that this node gave to this"):
                thief.connect(ASK, challenge)
            _, session = own.connect(ASK, challenge)
            with pytest.raises(rdmaq.BootstrapError, match="no such session of this caller"):
                thief.confirm(session, GOOD, PROOF)
            with pytest.raises(rdmaq.BootstrapError, match="no such session of this caller"):
                thief.disconnect(session)
            assert backend.connected == {session}
            own.confirm(session, GOOD, PROOF)


def test_names_of_two_certificates_never_make_one_caller() -> None:
    """One name with a blank is not two names: callers are told apart by it, and so are domains."""

    def caller_of(*names: bytes) -> str:
        return server_module._caller(SimpleNamespace(peer_identities=lambda: names))

    assert caller_of(b"a b") != caller_of(b"a", b"b") == caller_of(b"b", b"a")
    assert caller_of(b"a\xff") != caller_of(b"a\xfe")


def test_thousand_half_open_connects_leave_a_legitimate_peer_undisturbed() -> None:
    """One caller connects and never confirms, a thousand times; another one goes all the way."""
    folder = rig.certificates()
    limits = SessionLimits(confirm_seconds=0.5, half_open_per_caller_max=16)
    with serving(rig.node_credentials(folder), limits) as (server, backend):
        check_serves(server.port, rig.peer_credentials(folder))
        refused: list[str] = []

        def flood() -> None:
            with client_of(server.port, rig.peer_credentials(folder, name="other")) as client:
                for _ in range(250):
                    try:
                        client.connect(ASK, client.describe()[1])
                    except rdmaq.BootstrapError as error:
                        refused.append(str(error))

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            check_serves(server.port, rig.peer_credentials(folder))
            assert server.sessions.counts()[1] <= 17
        for thread in threads:
            thread.join()
        assert refused
        assert "did not confirm: that is the limit; confirm them" in refused[0]
        eventually(lambda: server.sessions.counts()[:2] == (0, 0), "them to expire")
        assert backend.connected == set()
        assert len(backend.ended) == len(set(backend.ended)), "each session ended once"


def test_limits_of_all_callers_together_are_told() -> None:
    """More half-open sessions, or sessions, than the node takes at all."""
    limits = SessionLimits(half_open_max=2, half_open_per_caller_max=9, sessions_max=3)
    with serving(limits=limits) as (server, _), client_of(server.port) as client:
        for _ in range(2):
            client.connect(ASK, client.describe()[1])
        with pytest.raises(rdmaq.BootstrapError, match="that is its limit; try again later"):
            client.connect(ASK, client.describe()[1])


def test_backend_that_fails_costs_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug behind the service: the caller is told where to look, the server goes on."""
    with serving() as (server, backend), client_of(server.port) as client:
        with monkeypatch.context() as patch:
            patch.setattr(backend, "connect", lambda *_: 1 / 0)
            with pytest.raises(rdmaq.BootstrapError, match="look at its own log"):
                client.connect(ASK, client.describe()[1])
        assert server.sessions.counts()[:2] == (0, 0)
        check_serves(server.port)


def test_credentials_that_cannot_be_used_are_refused_in_words(tmp_path: Path) -> None:
    """Halves, bad tokens, files that are none, and no TLS where there must be some."""
    folder = rig.certificates()
    (tmp_path / "no.pem").write_text("nothing")
    bad: list[Callable[[], object]] = [
        lambda: rdmaq.Credentials(certificate_file="x"),
        lambda: rdmaq.Credentials(token="short"),
        lambda: rdmaq.Credentials(token="with blanks and so on"),
        lambda: rdmaq.Credentials.from_environment({"RDMAQ_INSECURE": "perhaps"}),
        lambda: rdmaq.Node("0.0.0.0:0"),
        lambda: rdmaq.Node("0.0.0.0:0", credentials=rdmaq.Credentials(ca_file=folder / "ca.pem")),
        lambda: rdmaq.connect("192.0.2.1:7471"),
        lambda: rdmaq.connect("192.0.2.1:7471", credentials=rdmaq.Credentials(token=TOKEN)),
        lambda: rdmaq.connect("localhost:1", credentials=rdmaq.Credentials(ca_file="/none")),
        lambda: rdmaq.Node(
            "localhost:0",
            credentials=rdmaq.Credentials(
                certificate_file=tmp_path / "no.pem", key_file=tmp_path / "no.pem"
            ),
        ),
    ]
    for attempt in bad:
        with pytest.raises(rdmaq.CredentialsError, match=r".+: .+"):
            attempt()
    assert TOKEN not in repr(rdmaq.Credentials(token=TOKEN))


def test_insecure_is_a_word_that_must_be_said() -> None:
    """With it, a node listens on every interface without TLS."""
    with rdmaq.Node("0.0.0.0:0", credentials=rdmaq.Credentials(insecure=True)) as node:
        port = node.address.rpartition(":")[2]
        with rdmaq.connect(f"127.0.0.1:{port}", timeout=20) as peer:
            assert peer.streams() == []
