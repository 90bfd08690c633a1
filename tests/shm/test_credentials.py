"""Who may talk to whom: the kernel's word is checked in both directions."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

import rdmaq
from rdmaq.shm import dial, listener, wire
from tests.conformance.rig import eventually

STRANGER = 54321


class FakeWire:
    """The module `wire` with another answer for SO_PEERCRED."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def __getattr__(self, name: str) -> object:
        return getattr(wire, name)

    def peer_credentials(self, sock: socket.socket) -> tuple[int, int]:
        return wire.peer_credentials(sock)[0], self._uid


@pytest.fixture
def asks_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes every node see its peers as that user."""
    return lambda uid: monkeypatch.setattr(listener, "wire", FakeWire(uid))


@pytest.fixture
def answers_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes every subscriber see its node as that user."""
    return lambda uid: monkeypatch.setattr(dial, "wire", FakeWire(uid))


def test_node_refuses_a_stranger_and_says_whom_it_admits(asks_as: Callable[[int], None]) -> None:
    """AccessDenied with both users and the cure; the node serves its own user afterwards."""
    with rdmaq.Node("local:feed") as node:
        pub = node.publish("s", capacity="64KiB")
        asks_as(STRANGER)
        with pytest.raises(rdmaq.AccessDenied, match=rf"allow_uids=\[{STRANGER}\]"):
            rdmaq.connect("local:feed")
        asks_as(os.geteuid())
        peer = rdmaq.connect("local:feed")
        asks_as(STRANGER)
        with pytest.raises(rdmaq.AccessDenied, match=str(STRANGER)):
            peer.subscribe("s")
        assert pub.reader_count == 0
        asks_as(os.geteuid())
        peer.subscribe("s").close()


def test_node_admits_whom_it_was_told_to(asks_as: Callable[[int], None]) -> None:
    """allow_uids adds users; its own stays admitted."""
    with rdmaq.Node("local:feed", allow_uids=[STRANGER]) as node:
        pub = node.publish("s", capacity="64KiB")
        for uid in (STRANGER, os.geteuid()):
            asks_as(uid)
            with rdmaq.connect("local:feed").subscribe("s"):
                eventually(lambda: pub.reader_count == 1)
            eventually(lambda: pub.reader_count == 0)
        asks_as(STRANGER + 1)
        with pytest.raises(rdmaq.AccessDenied):
            rdmaq.connect("local:feed")


def test_subscriber_refuses_a_node_of_another_user(answers_as: Callable[[int], None]) -> None:
    """Nothing is asked of it, so nothing is admitted; allow_uids makes it acceptable."""
    with rdmaq.Node("local:feed") as node:
        pub = node.publish("s", capacity="64KiB")
        peer = rdmaq.connect("local:feed")
        answers_as(STRANGER)
        with pytest.raises(rdmaq.AccessDenied, match=rf"allow_uids=\[{STRANGER}\]"):
            rdmaq.connect("local:feed")
        with pytest.raises(rdmaq.AccessDenied):
            peer.subscribe("s")
        assert pub.reader_count == 0
        with rdmaq.connect("local:feed", allow_uids=[STRANGER]).subscribe("s"):
            assert pub.reader_count == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_another_user_is_refused_by_the_kernels_word() -> None:
    """A process that gave up its rights: a folder it may enter does not make it welcome."""
    read_fd, write_fd = os.pipe()
    with rdmaq.Node("local:feed", allow_uids=[STRANGER + 1]):
        folder = os.environ["RDMAQ_RUNTIME_DIR"]
        os.chmod(folder, 0o755)  # noqa: PTH101 - one line
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:  # pragma: no cover - runs in the child
            os.setuid(STRANGER)
            sock.connect(f"{folder}/feed.sock")
            os.write(write_fd, sock.recv(4096))
            os._exit(0)
        os.close(write_fd)
        os.waitpid(pid, 0)
        sock.close()
        with os.fdopen(read_fd) as pipe:
            answer = pipe.read()
    assert "AccessDenied" in answer
    assert f"user {STRANGER} may not" in answer
