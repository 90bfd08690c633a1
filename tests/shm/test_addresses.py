"""Addresses and the runtime folder: what is understood, what is taken, what is replaced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rdmaq
from rdmaq.address import HostPort, parse_address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:7471", "feed-1:7471", "[::1]:80", "localhost:1", "feed.example.org:65535"]
)
def test_host_and_port_is_understood(address: str) -> None:
    """It has a name of its own on its host, one that a socket's path can bear."""
    where = parse_address(address)
    assert isinstance(where, HostPort)
    assert str(where) == address
    assert parse_address(f"local:{where.local_name}") == where.local_name


@pytest.mark.parametrize(
    "address",
    [
        "",
        "feed",
        "local:",
        "local:a/b",
        "local:../x",
        "local:" + "x" * 65,
        "local:.x",
        "tcp://x",
        7,
    ],
)
def test_address_without_meaning_is_refused_with_an_example(
    address: str, runtime_dir: Path
) -> None:
    """AddressError, which is a ValueError too; nothing appears in the folder."""
    for call in (rdmaq.Node, rdmaq.connect):
        with pytest.raises(rdmaq.AddressError, match="local:") as caught:
            call(address)
        assert isinstance(caught.value, ValueError)
    assert list(runtime_dir.iterdir()) == []


def test_path_too_long_for_a_socket_is_refused_with_the_cure(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A UNIX socket's path has 107 bytes: say so, instead of the system's 'too long'."""
    folder = runtime_dir / ("x" * 100)
    folder.mkdir()
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(folder))
    with pytest.raises(rdmaq.AddressError, match="RDMAQ_RUNTIME_DIR"):
        rdmaq.Node("local:feed")


def test_name_of_a_living_node_is_taken_also_for_other_processes(runtime_dir: Path) -> None:
    """AddressInUse names the process; the first node is not disturbed."""
    script = "import rdmaq; rdmaq.Node('local:feed')"
    with rdmaq.Node("local:feed") as node:
        with pytest.raises(rdmaq.AddressInUse, match=f"process {os.getpid()} is a node"):
            rdmaq.Node("local:feed")
        other = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert f"process {os.getpid()} is a node" in other.stderr
        node.publish("s", capacity="64KiB")
        assert [s.name for s in rdmaq.connect("local:feed").streams()] == ["s"]
    assert list(runtime_dir.iterdir()) == [], "a closed node leaves no file behind"


def test_socket_of_a_killed_node_is_replaced(runtime_dir: Path) -> None:
    """Kill -9 leaves socket and lock behind; the next node of the name takes them over."""
    script = "import os, rdmaq\nrdmaq.Node('local:feed')\nos.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert {path.name for path in runtime_dir.iterdir()} == {"feed.sock", "feed.lock"}
    with pytest.raises(rdmaq.PeerNotFound, match="nobody listens"):
        rdmaq.connect("local:feed")
    with rdmaq.Node("local:feed") as node, rdmaq.connect("local:feed") as peer:
        node.publish("s", capacity="64KiB")
        assert len(peer.streams()) == 1


ENDS = {
    "the script ends": "",
    "sys.exit": "sys.exit(3)",
    "an exception": "raise RuntimeError",
    "a forked child": "pid = os.fork()\nif pid: os._exit(os.waitpid(pid, 0)[1])",
    "killed": "os.kill(os.getpid(), 9)",
    "closed afterwards": "closed_late.append(node)",
    "closed by a handler": "atexit.register(node.close)",
}
LEFT = {"a forked child", "killed"}
# Handlers run in reverse order: this one when the files are gone, and the name is somebody else's.
UNCLOSED = """
import atexit, os, sys
closed_late = []
def close():
    for node in closed_late:
        with rdmaq.Node("local:feed"):
            node.close()
            print(sorted(os.listdir(os.environ["RDMAQ_RUNTIME_DIR"])))
atexit.register(close)
import rdmaq
node = rdmaq.Node("local:feed")
"""


@pytest.mark.parametrize("end", ENDS)
def test_node_that_nobody_closed_leaves_its_files_only_when_it_is_killed(
    runtime_dir: Path, end: str
) -> None:
    """Nor does a forked child take its parent's away: here the parent ends without a word."""
    ended = subprocess.run(
        [sys.executable, "-c", UNCLOSED + ENDS[end]], stdout=subprocess.PIPE, text=True
    )
    left = {"feed.sock", "feed.lock"} if end in LEFT else set()
    assert {path.name for path in runtime_dir.iterdir()} == left
    another = "['feed.lock', 'feed.sock']\n" if end == "closed afterwards" else ""
    assert ended.stdout == another, "the file of another node was taken away"


def test_failed_start_leaves_the_name_free(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bind fails after the lock was taken: the lock is let go of."""
    monkeypatch.setattr(socket.socket, "listen", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        rdmaq.Node("local:feed")
    monkeypatch.undo()
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(runtime_dir))
    rdmaq.Node("local:feed").close()


def test_folder_and_socket_are_the_users_alone(runtime_dir: Path) -> None:
    """The folder is made with mode 0700, the socket with 0600, or 0666 for others."""
    folder = runtime_dir / "made"
    os.environ["RDMAQ_RUNTIME_DIR"] = str(folder)  # the fixture's monkeypatch puts it back
    with rdmaq.Node("local:mine"), rdmaq.Node("local:ours", allow_uids=[12345]):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "mine.sock").stat().st_mode & 0o777 == 0o600
        assert (folder / "ours.sock").stat().st_mode & 0o777 == 0o666


def test_default_folder_that_others_could_write_to_is_refused(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_RUNTIME_DIR/rdmaq with mode 0777: AccessDenied with the cure, and no socket in it."""
    monkeypatch.delenv("RDMAQ_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_dir))
    folder = runtime_dir / "rdmaq"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(rdmaq.AccessDenied, match="others may write"):
        rdmaq.Node("local:feed")
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)
    with rdmaq.Node("local:feed"):
        assert (folder / "feed.sock").exists()


def test_runtime_folder_that_takes_no_files_is_named_as_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a lock that another user's node would have left behind."""
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", "/proc")
    with pytest.raises(rdmaq.AccessDenied, match=r"runtime folder /proc takes no files: .*; set"):
        rdmaq.Node("local:nowhere")
