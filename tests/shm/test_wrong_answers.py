"""A node that is none: whatever it answers or hands over, the subscriber refuses in one class."""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import rdmaq
from tests.conformance.rig import PATIENCE_SECONDS, eventually

SEGMENT_SEALS = (
    fcntl.F_SEAL_SHRINK
    | fcntl.F_SEAL_GROW
    | fcntl.F_SEAL_SEAL
    | 0x10  # FUTURE_WRITE: linux/fcntl.h
)
CONTROL_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def impostor(
    runtime_dir: Path, packet: bytes, descriptors: Callable[[], list[int]] = list
) -> Iterator[rdmaq.Peer]:
    """Answers hello as a node does, then one more request with that packet and descriptors."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(str(runtime_dir / "feed.sock"))
    server.listen()

    def serve() -> None:
        sock, _ = server.accept()
        with sock:
            sock.recv(1 << 17)
            sock.send(b'{"rdmaq": 1}')
        sock, _ = server.accept()
        with sock:
            sock.recv(1 << 17)
            fds = descriptors()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sock.sendmsg([packet], rights if fds else [])
            for fd in fds:
                os.close(fd)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield rdmaq.connect("local:feed")
    finally:
        thread.join(PATIENCE_SECONDS)
        server.close()


def grant(**fields: Any) -> bytes:
    return json.dumps({"rdmaq": 1, "slot": 0, "position": 65536, "sequence": 1, **fields}).encode()


ANSWERS = {
    "random": b"\xff\x00garbage",
    "nothing": b"",
    "oversized": b" " * (100 << 10),
    "another protocol": b'{"rdmaq": 9}',
    "unknown error": b'{"rdmaq": 1, "error": ["x"], "text": {}}',
    "grant without descriptors": grant(),
    "grant of text": grant(slot="0"),
    "grant out of range": grant(position=1 << 70),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_answer_that_is_none_is_refused(runtime_dir: Path, what: str) -> None:
    """HandoverError; nothing mapped, nothing left open."""
    with impostor(runtime_dir, ANSWERS[what]) as peer:
        before = descriptors_open()
        with pytest.raises(rdmaq.HandoverError):
            peer.subscribe("s")
        eventually(lambda: descriptors_open() <= before, "descriptors to be closed")


def memfd(content: bytes, seals: int = 0) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def pipe() -> int:
    read_fd, write_fd = os.pipe()
    os.close(write_fd)
    return read_fd


def real_segment(change: Callable[[bytearray], None] = lambda _: None) -> bytes:
    """The bytes of a segment as a publisher makes it, changed as told."""
    with rdmaq.Node("local:model") as node:
        fd = node.publish("s", "<u8", capacity="64KiB").duplicate_segment_fd()
    content = bytearray(os.pread(fd, 1 << 24, 0))
    os.close(fd)
    change(content)
    return bytes(content)


def set_field(offset_bytes: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(form, content, offset_bytes, value)


def control(content: bytes = bytes(4096), seals: int = CONTROL_SEALS) -> int:
    return memfd(content, seals)


def sealed(change: Callable[[bytearray], None] = lambda _: None) -> int:
    return memfd(real_segment(change), SEGMENT_SEALS)


# Offsets of struct rq_descriptor: csrc/include/rdmaq_abi.h.
SEGMENTS: dict[str, Callable[[], list[int]]] = {
    "a pipe": lambda: [pipe(), control()],
    "a file without seals": lambda: [memfd(real_segment()), control()],
    "one seal missing": lambda: [memfd(real_segment(), SEGMENT_SEALS & ~0x10), control()],
    "empty": lambda: [memfd(b"", SEGMENT_SEALS), control()],
    "cut short": lambda: [memfd(real_segment()[:-4096], SEGMENT_SEALS), control()],
    "too long": lambda: [memfd(real_segment() + bytes(4096), SEGMENT_SEALS), control()],
    "random": lambda: [memfd(os.urandom(1 << 17), SEGMENT_SEALS), control()],
    "no magic": lambda: [sealed(set_field(0, "<Q", 0)), control()],
    "other capacity": lambda: [sealed(set_field(32, "<Q", 128 << 10)), control()],
    "capacity zero": lambda: [sealed(set_field(32, "<Q", 0)), control()],
    "guard too large": lambda: [sealed(set_field(40, "<Q", 32 << 10)), control()],
    "record too large": lambda: [sealed(set_field(12, "<I", 1 << 20)), control()],
    "data elsewhere": lambda: [sealed(set_field(96, "<Q", 1 << 40)), control()],
    "name too long": lambda: [sealed(set_field(136, "<I", 1 << 30)), control()],
    "schema too long": lambda: [sealed(set_field(140, "<I", 1 << 30)), control()],
    "schema nonsense": lambda: [sealed(set_field(336, "<Q", 0)), control()],
    "control is a pipe": lambda: [sealed(), pipe()],
    "control without seals": lambda: [sealed(), control(seals=0)],
    "control too short": lambda: [sealed(), control(bytes(100))],
    "control too long": lambda: [sealed(), control(bytes(8192))],
}


@pytest.mark.parametrize("what", SEGMENTS)
def test_segment_that_fails_its_checks_is_not_used(runtime_dir: Path, what: str) -> None:
    """SegmentError; no descriptor stays open and no mapping is left."""
    with impostor(runtime_dir, grant(), SEGMENTS[what]) as peer:
        before = descriptors_open()
        with pytest.raises(rdmaq.SegmentError):
            peer.subscribe("s")
        eventually(lambda: descriptors_open() <= before, "descriptors to be closed")
    assert "memfd:test" not in Path("/proc/self/maps").read_text()


def test_segment_of_another_format_is_told_apart(runtime_dir: Path) -> None:
    """Not nonsense, but another release: the text names both versions."""
    with (
        impostor(runtime_dir, grant(), lambda: [sealed(set_field(8, "<I", 77)), control()]) as peer,
        pytest.raises(rdmaq.SegmentError, match="version 77: this rdmaq reads version 1"),
    ):
        peer.subscribe("s")


GRANTS = {
    "position before the ring": {"position": 0},
    "position between frames": {"position": 65536 + 8},
    "position beyond the tail": {"position": 65536 + (1 << 20)},
    "slot beyond the last": {"slot": 128},
}


@pytest.mark.parametrize("what", GRANTS)
def test_grant_that_the_segment_does_not_bear_out_is_refused(runtime_dir: Path, what: str) -> None:
    """SegmentError names the grant; a good one of the same segment is accepted."""
    descriptors = [lambda: [sealed(), control()]] * 2
    with (
        impostor(runtime_dir, grant(**GRANTS[what]), descriptors[0]) as peer,
        pytest.raises(rdmaq.SegmentError, match="grant"),
    ):
        peer.subscribe("s")
    (runtime_dir / "feed.sock").unlink()
    with (
        impostor(runtime_dir, grant(), descriptors[1]) as peer,
        peer.subscribe("s") as sub,
    ):
        assert sub.schema is not None
