"""Nonsense at the hand-over: a documented exception on one side, and the other goes on."""

from __future__ import annotations

import array
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdmaq
from rdmaq.shm import listener
from tests.conformance.rig import PATIENCE_SECONDS, eventually


def dial(runtime_dir: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(runtime_dir / "feed.sock"))  # blocking: the backlog may be full
    sock.settimeout(PATIENCE_SECONDS)
    return sock


def converse(runtime_dir: Path, packet: bytes, fds: list[int] | None = None) -> bytes:
    """Sends one packet; returns the answer, empty when the node hung up."""
    with dial(runtime_dir) as sock:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg([packet], rights)
        try:
            return sock.recv(1 << 17)
        except ConnectionResetError:
            return b""


@pytest.fixture
def pub() -> Iterator[rdmaq.Publisher]:
    with rdmaq.Node("local:feed") as node, node.publish("s", capacity="64KiB") as publisher:
        yield publisher


def check_alive(pub: rdmaq.Publisher) -> None:
    """The node still answers, admits, and lets go; nobody else was admitted meanwhile."""
    eventually(lambda: pub.reader_count == 0, "strangers to be gone")
    with rdmaq.connect("local:feed").subscribe("s") as sub:
        assert pub.reader_count == 1
        pub.send(b"x")
        batch = sub.poll(PATIENCE_SECONDS)
        assert batch is not None
        assert batch.messages == [b"x"]
    eventually(lambda: pub.reader_count == 0, "the slot to be freed")


PACKETS = {
    "random": os.urandom(1000),
    "not an object": b"[1, 2]",
    "another protocol": json.dumps({"rdmaq": 2, "want": "streams"}).encode(),
    "no protocol": b"{}",
    "deep": b"[" * 40_000,
    "huge number": b'{"rdmaq": 1' + b"0" * 5000 + b"}",
    "oversized": b" " * (100 << 10),
    "empty": b"",
}


@pytest.mark.parametrize("what", PACKETS)
def test_node_hangs_up_on_what_is_no_request(
    pub: rdmaq.Publisher, runtime_dir: Path, what: str
) -> None:
    """No answer, no slot, no exception on its thread."""
    assert converse(runtime_dir, PACKETS[what]) == b""
    check_alive(pub)


def request(**fields: Any) -> bytes:
    wanted = {"rdmaq": 1, "want": "subscribe", "stream": "s", "start": 0, "start_value": 0}
    return json.dumps({**wanted, **fields}).encode()


REQUESTS: dict[str, dict[str, Any]] = {
    "unknown wish": {"want": "everything"},
    "no wish": {"want": None},
    "list without a place": {"want": "streams", "after": 7},
    "stream is a number": {"stream": 7},
    "stream is absent": {"stream": "\ud800"},
    "start is unknown": {"start": 99},
    "start is negative": {"start": -1},
    "start is text": {"start": "live"},
    "start value is too big": {"start": 2, "start_value": 1 << 64},
    "start value is a float": {"start": 2, "start_value": 1.5},
    "schema is a list": {"schema": []},
    "schema is no JSON": {"schema": "{"},
    "schema is a pointer": {"schema": '"O"'},
    "schema is infinite": {"schema": '[["a","<i4",[1e999]]]'},
    "schema is endless": {"schema": '[["a","<i4",[1e18]]]'},
    "schema is code": {"schema": "\"__import__('os').abort()\""},
    "schema is deep": {"schema": "[" * 5000},
}


@pytest.mark.parametrize("what", REQUESTS)
def test_node_answers_a_malformed_request_with_an_error(
    pub: rdmaq.Publisher, runtime_dir: Path, what: str
) -> None:
    """An error of ours by name, and no slot."""
    answer = json.loads(converse(runtime_dir, request(**REQUESTS[what])))
    assert issubclass(getattr(rdmaq, answer["error"]), rdmaq.RdmaqError)
    assert answer["text"]
    check_alive(pub)


def test_node_closes_descriptors_that_come_with_a_request(
    pub: rdmaq.Publisher, runtime_dir: Path
) -> None:
    """Four, and more than it takes: this process has as many open afterwards as before."""
    with tempfile.TemporaryFile() as file:
        check_alive(pub)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for count in (4, 100):
            converse(runtime_dir, request(want="hello"), [file.fileno()] * count)
            converse(runtime_dir, b"garbage", [file.fileno()] * count)
        check_alive(pub)
        eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, "them to close")


def test_silent_peer_is_dropped_after_its_deadline(
    pub: rdmaq.Publisher, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connect and say nothing: the node hangs up, and served others all the while."""
    monkeypatch.setattr(listener, "_REQUEST_SECONDS_MAX", 0.2)
    with dial(runtime_dir) as silent:
        check_alive(pub)
        assert silent.recv(1) == b"", "hung up"
    check_alive(pub)


def test_subscriber_that_talks_after_the_grant_is_dropped(
    pub: rdmaq.Publisher, runtime_dir: Path
) -> None:
    """A second request on the same connection: whoever does that is none of ours."""
    with dial(runtime_dir) as sock:
        sock.send(request())
        assert b"slot" in sock.recv(4096)
        assert pub.reader_count == 1
        sock.send(request())
        eventually(lambda: pub.reader_count == 0, "it to be dropped")
    check_alive(pub)


def test_subscriber_that_hangs_up_before_the_grant_is_forgotten(
    pub: rdmaq.Publisher, runtime_dir: Path
) -> None:
    """Two hundred of them, more than there are slots: none leaks."""
    for _ in range(200):
        with dial(runtime_dir) as sock:
            sock.send(request())
    check_alive(pub)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packet=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["rdmaq", "want", "stream", "schema", "start"]), inner
            )
        ),
    ).map(
        lambda value: json.dumps(
            value if not isinstance(value, dict) else value | {"rdmaq": 1}
        ).encode()
    )
)
def test_node_survives_any_packet(pub: rdmaq.Publisher, runtime_dir: Path, packet: bytes) -> None:
    """Random bytes, and random JSON with the right words in wrong places."""
    converse(runtime_dir, packet)
    with rdmaq.connect("local:feed") as peer:
        assert len(peer.streams()) == 1


def test_handler_that_fails_costs_one_connection_only(
    pub: rdmaq.Publisher, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor left for the grant: that subscriber is told, no slot stays taken."""

    def fail(self: rdmaq.Publisher) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(rdmaq.Publisher, "duplicate_segment_fd", fail)
        with pytest.raises(rdmaq.HandoverError):
            rdmaq.connect("local:feed").subscribe("s")
    check_alive(pub)
