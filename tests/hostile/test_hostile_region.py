"""Exports of nodes that lie, and callers that ask for nonsense: words, and nothing left behind."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdmaq
from rdmaq._fast import lib
from rdmaq.region import area as areas
from tests.conformance.rig import PATIENCE_SECONDS
from tests.hostile.rig import FakeNode, no_descriptor_leaks, packet

SIZE_SEALS = 0x7  # SEAL, SHRINK, GROW of linux/fcntl.h
F_ADD_SEALS = 1033
ROWS = 4


class Grant:
    """A good export, from which a test makes a bad one.

    Attributes:
        words: of the message.
        descriptors: data and control page, this object's to close.
        bytes: the data, writable.
    """

    def __init__(self, kind: str = "array", access: int = 1) -> None:
        self.words: dict[str, Any] = {
            "name": "n",
            "kind": kind,
            "format": 1,
            "schema": '"<u8"',
            "shape": [ROWS],
            "access": "read",
        }
        size = 8 * ROWS if kind == "array" else int(lib.rq_table_bytes(8, ROWS))
        self.area, data_fd, control_fd = areas.create(size, access)
        self.descriptors = [data_fd, control_fd]
        self.bytes = self.area.array(np.dtype(np.uint8), (size,))

    def answer(self, request: dict[str, Any]) -> tuple[bytes, list[int]]:
        if request.get("want") != "region":
            return packet({"hello": "fake"}), []
        return packet(self.words), self.descriptors

    def replace(self, number: int, fd: int) -> None:
        os.close(self.descriptors[number])
        self.descriptors[number] = fd

    def close(self) -> None:
        for fd in self.descriptors:
            os.close(fd)


@pytest.fixture
def grant() -> Iterator[Grant]:
    made = Grant()
    yield made
    made.close()


def attach(grant: Grant) -> rdmaq.Region:
    with FakeNode("fake", grant.answer):
        return rdmaq.connect("local:fake").region("n")


def memory(size: int, seals: int = SIZE_SEALS, *, holes: bool = False) -> int:
    fd = os.memfd_create("strange", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if size and not holes:
        os.posix_fallocate(fd, 0, size)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def test_good_grant_is_accepted(grant: Grant) -> None:
    """The control: the cases below fail for their own reason, not for the rig's."""
    with FakeNode("fake", grant.answer), rdmaq.connect("local:fake").region("n") as region:
        assert region.read().tolist() == [0] * ROWS
    with no_descriptor_leaks():
        attach(grant).close()


BAD_WORDS: list[tuple[str, Any]] = [
    ("name", "other"),
    ("name", None),
    ("kind", "table"),
    ("kind", "pointer"),
    ("schema", None),
    ("schema", '"O"'),
    ("schema", "["),
    ("shape", []),
    ("shape", [0]),
    ("shape", [-1]),
    ("shape", [1 << 62, 1 << 62]),
    ("shape", [1] * 40),
    ("shape", [1.5]),
    ("shape", "4"),
    ("shape", [1 << 12]),
    ("access", "all"),
    ("access", None),
]


@pytest.mark.parametrize(("word", "value"), BAD_WORDS, ids=repr)
def test_description_that_lies_is_refused(grant: Grant, word: str, value: Any) -> None:
    """A field of the wrong form, or one that contradicts the memory that came with it."""
    grant.words[word] = value
    if (word, value) == (
        "shape",
        [],
    ):  # no axes: one element, and the memory has a page all the same
        with attach(grant) as region:
            assert region.shape == ()
        return
    with no_descriptor_leaks(), pytest.raises((rdmaq.HandoverError, rdmaq.SegmentError)):
        attach(grant)


PAGE = os.sysconf("SC_PAGESIZE")
STRANGE: dict[str, Callable[[], int]] = {
    "a pipe": lambda: os.dup(os.pipe()[0]),
    "a file": lambda: os.open(Path(tempfile.mkstemp()[1]), os.O_RDWR | os.O_CLOEXEC),
    "no seals": lambda: memory(PAGE, 0),
    "may shrink": lambda: memory(PAGE, 0x5),
    "may grow": lambda: memory(PAGE, 0x3),
    "may be sealed": lambda: memory(PAGE, 0x6),
    "too small": lambda: memory(PAGE - 8),
    "empty": lambda: memory(0),
    "too large": lambda: memory(2 * PAGE),
    "a hole": lambda: memory(PAGE, holes=True),
}


@pytest.mark.parametrize("number", [0, 1], ids=["data", "control"])
@pytest.mark.parametrize("what", STRANGE)
def test_memory_that_could_fail_under_a_reader_is_refused(
    grant: Grant, number: int, what: str
) -> None:
    """Whose size may change, or is another, or that has holes: SIGBUS would wait there."""
    grant.replace(number, STRANGE[what]())
    with pytest.raises(rdmaq.SegmentError, match="it was not mapped"):
        attach(grant)


def test_other_number_of_descriptors_is_refused(grant: Grant) -> None:
    """None, one, three; all of them are closed."""
    two = grant.descriptors
    for given_fds in ([], two[:1], [*two, two[0]]):
        grant.descriptors = given_fds
        with no_descriptor_leaks(), pytest.raises(rdmaq.HandoverError):
            attach(grant)
    grant.descriptors = two


def test_read_only_export_cannot_be_mapped_writable_whatever_the_node_says(grant: Grant) -> None:
    """The words claim "atomic", the memory is sealed: refused, not SIGSEGV later."""
    grant.words["access"] = "atomic"
    with pytest.raises(rdmaq.SegmentError, match="not permitted"):
        attach(grant)


def test_peer_with_the_descriptor_of_a_read_only_export_cannot_write_it() -> None:
    """By mmap, write and ftruncate, with the very descriptors that a node hands over."""
    with rdmaq.Node("local:feed") as node:
        export = node.export("n", np.arange(ROWS, dtype="<u8"))
        for fd in export.descriptors:
            with pytest.raises(PermissionError):
                mmap.mmap(fd, PAGE)
            with pytest.raises(PermissionError):
                os.pwrite(fd, b"x", 0)
            for size in (0, 10 * PAGE):
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, size)
            mmap.mmap(fd, PAGE, prot=mmap.PROT_READ).close()
        assert export.array.tolist() == list(range(ROWS))


def test_writes_after_revocation_do_not_reach_the_owner() -> None:
    """A peer that keeps its mapping and ignores the word: the owner has moved away."""
    with rdmaq.Node("local:feed") as node:
        export = node.export("n", np.arange(ROWS, dtype="<u8"), access="write")
        array = export.array
        with mmap.mmap(export.descriptors[0], PAGE) as kept:
            kept[0:8] = (77).to_bytes(8, "little")
            assert int(array[0]) == 77
            export.revoke()
            kept[0:8] = (88).to_bytes(8, "little")
            assert array.tolist() == [77, 1, 2, 3]
            array[1] = 5
            assert kept[8:16] == (1).to_bytes(8, "little")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_scribbled_table_gives_rows_or_words(data: st.DataObject) -> None:
    """An owner that writes anything into its lines: a row of the right size, or RowBusy."""
    grant = Grant("table")
    try:
        with FakeNode("fake", grant.answer), rdmaq.connect("local:fake").table("n") as reader:
            size = grant.bytes.size
            raw = data.draw(st.binary(min_size=size, max_size=size))
            grant.bytes[:] = np.frombuffer(raw, np.uint8)
            with suppress(rdmaq.RowBusy):
                assert reader.read(0, timeout=0.0).shape == ()
    finally:
        grant.close()


REQUESTS: dict[str, dict[str, Any]] = {
    "no name": {"name": None},
    "name is a list": {"name": ["n"]},
    "name is absent": {"name": "\ud800"},
    "kind is a number": {"kind": 7},
    "kind is unknown": {"kind": "pointer"},
    "list without a place": {"want": "regions", "after": 7},
}


@pytest.mark.parametrize("what", REQUESTS)
def test_node_answers_a_malformed_request_in_words(runtime_dir: Path, what: str) -> None:
    """An error of ours by name; the next one is served."""
    request = {"rdmaq": 1, "want": "region", "name": "n", "kind": "array", "after": ""}
    with (
        rdmaq.Node("local:feed") as node,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock,
    ):
        node.export("n", np.zeros(1))
        sock.connect(str(runtime_dir / "feed.sock"))
        sock.settimeout(PATIENCE_SECONDS)
        sock.send(json.dumps(request | REQUESTS[what]).encode())
        answer = json.loads(sock.recv(1 << 17))
        assert issubclass(getattr(rdmaq, answer["error"]), rdmaq.RdmaqError)
        with rdmaq.connect("local:feed") as peer, peer.region("n") as region:
            assert region.read().tolist() == [0.0]
