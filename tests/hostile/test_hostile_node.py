"""A subscriber among nodes that lie: an exception of rdmaq's own, and nothing left behind."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rdmaq
from rdmaq.shm import dial, offers
from rdmaq.shm.runtime import socket_path
from tests.hostile.rig import FakeNode, Grant, no_descriptor_leaks, packet

SEALS = 0x17  # SEAL, SHRINK, GROW, FUTURE_WRITE of linux/fcntl.h
F_ADD_SEALS = 1033


@pytest.fixture
def grant() -> Iterator[Grant]:
    made = Grant()
    yield made
    made.close()


def subscribe(grant: Grant) -> rdmaq.Subscription:
    """Subscribes at a fake node that hands over what `grant` holds by now."""
    with FakeNode("fake", grant.answer):
        return rdmaq.connect("local:fake").subscribe("s")


def test_good_grant_is_accepted(grant: Grant) -> None:
    """The control: the cases below fail for their own reason, not for the rig's."""
    with no_descriptor_leaks():
        subscribe(grant).close()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("slot", -1),
        ("slot", 128),
        ("slot", 1 << 40),
        ("slot", "0"),
        ("slot", None),
        ("position", 0),
        ("position", 65537),
        ("position", (1 << 64) - 32),
        ("position", 1 << 64),
        ("position", 65536.0),
        ("sequence", -1),
        ("sequence", 1 << 63),
        ("sequence", []),
    ],
)
def test_grant_with_impossible_words_is_refused(grant: Grant, word: str, value: Any) -> None:
    grant.words[word] = value
    with no_descriptor_leaks(), pytest.raises((rdmaq.HandoverError, rdmaq.SegmentError)):
        subscribe(grant)


def memfd(content_bytes: int, seals: int) -> int:
    fd = os.memfd_create("fake", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.posix_fallocate(fd, 0, content_bytes)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def one_socket() -> int:
    left, right = socket.socketpair()
    right.close()
    return left.detach()


def one_pipe() -> int:
    read, write = os.pipe()
    os.close(write)
    return read


def one_file() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        return os.dup(file.fileno())


STRANGE: dict[str, Callable[[], int]] = {
    "a directory": lambda: os.open("/", os.O_RDONLY | os.O_DIRECTORY),
    "a path only": lambda: os.open("/", os.O_PATH),
    "a device": lambda: os.open("/dev/zero", os.O_RDWR),
    "a socket": one_socket,
    "a pipe": one_pipe,
    "a file": one_file,
    "an eventfd": lambda: os.eventfd(0),
    "unsealed memory": lambda: memfd(4096, 0),
    "memory that can shrink": lambda: memfd(4096, SEALS & ~2),
    "sealed memory of zeros": lambda: memfd(4 << 20, SEALS),
    "too short memory": lambda: memfd(100, SEALS),
    "memory that is ours to read only": lambda: memfd(4096, SEALS),
}


@pytest.mark.parametrize("which", [0, 1], ids=["segment", "control page"])
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_descriptor_is_refused(grant: Grant, which: int, strange: str) -> None:
    os.close(grant.descriptors[which])
    grant.descriptors[which] = STRANGE[strange]()
    with no_descriptor_leaks(), pytest.raises(rdmaq.SegmentError):
        subscribe(grant)


def test_swapped_descriptors_are_refused(grant: Grant) -> None:
    grant.descriptors.reverse()
    with no_descriptor_leaks(), pytest.raises(rdmaq.SegmentError):
        subscribe(grant)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 40])
def test_wrong_number_of_descriptors_is_refused(grant: Grant, count: int) -> None:
    while len(grant.descriptors) > count:
        os.close(grant.descriptors.pop())
    while len(grant.descriptors) < count:
        grant.descriptors.append(os.dup(0))
    with no_descriptor_leaks(), pytest.raises(rdmaq.HandoverError):
        subscribe(grant)


NEAR_THE_RING = st.integers(-2, 300) | st.sampled_from([1 << 16, 1 << 17, 1 << 63, 1 << 64])
WORDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("slot", "position", "sequence"), st.tuples(NEAR_THE_RING, NEAR_THE_RING).map(sum)
    ),
)


@given(
    WORDS,
    st.lists(st.sampled_from([0, 1, *STRANGE]), min_size=2, max_size=2),
    st.lists(st.tuples(st.integers(0, 127), st.integers(0, (1 << 64) - 1)), max_size=4),
)
def test_random_grant_is_refused_or_read_without_a_fault(
    words: dict[str, int], which: list[int | str], live: list[tuple[int, int]]
) -> None:
    """Any words, any two descriptors, any live words: rdmaq's own errors, and nothing is left."""
    grant = Grant()
    given_fds, good_fds = [], list(grant.descriptors)
    try:
        for choice in which:
            if isinstance(choice, str):
                given_fds.append(STRANGE[choice]())
            else:
                given_fds.append(os.dup(good_fds[choice]))
        grant.words |= words
        grant.descriptors = given_fds
        with no_descriptor_leaks(), suppress(rdmaq.RdmaqError), subscribe(grant) as subscription:
            for word, value in live:
                grant.live[word] = value
            subscription.poll(0)
            subscription.poll(0)
    finally:
        for fd in given_fds:
            os.close(fd)
        grant.descriptors = good_fds
        grant.close()


@pytest.mark.parametrize(
    ("schema_text", "record_bytes"),
    [('"<u4"', 0), ('"<u4"', 8), ("", 8), ('[["a","<u4"],["b","<u8"]]', 4), ("what?", 4)],
)
def test_schema_that_contradicts_the_record_size_is_refused(
    schema_text: str, record_bytes: int
) -> None:
    """C would write message offsets where Python gave it no room, or numpy misread records."""
    grant = Grant(schema_text=schema_text, record_bytes=record_bytes)
    try:
        with no_descriptor_leaks(), pytest.raises(rdmaq.SegmentError):
            subscribe(grant)
    finally:
        grant.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
STREAM = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("name", "schema", "capacity_bytes", "is_reliable", "epoch", "next_sequence"), JSON
    ),
)


@given(
    st.binary(max_size=64)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"error": JSON}, optional={"text": JSON, "available": JSON}).map(packet)
    | st.fixed_dictionaries({"streams": JSON | st.lists(STREAM, max_size=3)}).map(packet)
    | st.fixed_dictionaries(
        {}, optional={"slot": JSON, "position": JSON, "sequence": JSON, "expected": JSON}
    ).map(packet)
)
def test_no_answer_raises_anything_but_errors_of_rdmaq(answer: bytes) -> None:
    """Every kind of answer to every request: a value, or an RdmaqError."""
    with no_descriptor_leaks(), FakeNode("fake", lambda _: (answer, [0, 0])):
        for ask in (
            lambda: rdmaq.connect("local:fake"),
            lambda: rdmaq.Peer("local:fake", allow_uids=()).streams(),
            lambda: rdmaq.Peer("local:fake", allow_uids=()).subscribe("s"),
        ):
            with suppress(rdmaq.RdmaqError):
                ask()


def test_node_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "_ANSWER_SECONDS_MAX", 0.05)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listener, no_descriptor_leaks():
        listener.bind(os.fspath(socket_path("mute")))
        listener.listen()
        with pytest.raises(rdmaq.HandoverError, match="did not answer"):
            rdmaq.connect("local:mute")


@pytest.mark.parametrize("tail", [0, 64, 65536 + 4096, (1 << 64) - 1, 1 << 63])
def test_ring_that_its_dead_publisher_left_in_disorder_ends_the_subscription(
    grant: Grant, tail: int
) -> None:
    """The tail promises what the ring does not hold, and nobody is left to mend it."""
    grant.words["sequence"] = 1
    with FakeNode("fake", grant.answer) as node:
        subscription = rdmaq.connect("local:fake").subscribe("s")
        grant.index[:] = b"\xff" * len(grant.index)
        grant.live[0] = tail
        node.hang_up()
        with pytest.raises((rdmaq.SegmentError, rdmaq.PublisherGone)):
            subscription.poll(timeout=20)
        subscription.close()


def test_ring_that_promises_what_it_does_not_hold_stops_nobody(grant: Grant) -> None:
    """The tail is a lap ahead, the index leads nowhere, and its node lives.

    Polls end in time, and an event loop that waits for a batch runs its other tasks.
    """
    grant.words["sequence"] = 1
    with FakeNode("fake", grant.answer):
        subscription = rdmaq.connect("local:fake").subscribe("s")
        grant.index[:] = b"\xff" * len(grant.index)
        grant.live[0] = 1 << 20
        assert subscription.poll(0.1) is None

        async def wait_beside_others() -> None:
            waiting = asyncio.ensure_future(anext(aiter(subscription)))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(wait_beside_others())
        subscription.close()


def test_node_that_lists_streams_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page goes on after the last one's names, for ever."""
    monkeypatch.setattr(offers, "_OFFERS_MAX", 20)
    stream = {
        "schema": "",
        "capacity_bytes": 65536,
        "is_reliable": False,
        "epoch": 1,
        "next_sequence": 1,
    }

    def another_page(request: dict[str, Any]) -> tuple[bytes, list[int]]:
        page = [{**stream, "name": request.get("after", "") + "x"}]
        return packet({"streams": page, "is_whole": False}), []

    with FakeNode("endless", another_page), pytest.raises(rdmaq.HandoverError):
        rdmaq.Peer("local:endless", allow_uids=()).streams()
