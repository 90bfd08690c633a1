"""Handles stay in the process that made them: forks and pickles are refused in words."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest

import rdmaq
from tests.conformance.rig import Link, eventually, take, take_messages
from tests.conformance.test_full import running


def in_forked_child(check: Callable[[], None]) -> None:
    """Forks; the child runs `check` and ends at once; fails with the child's trace-back."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        status = 1
        try:
            check()
            status = 0
        except BaseException:
            os.write(write_fd, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(write_fd)
    _, status = os.waitpid(pid, 0)
    with os.fdopen(read_fd) as pipe:
        assert status == 0, pipe.read()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_cannot_use_handles_and_the_parent_does_not_notice(link: Link) -> None:
    """Every call in the child raises ClosedError and closing does nothing; the parent goes on."""
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"before")
    batch = take(sub)
    pub.send(b"unread")

    def check() -> None:
        calls: list[Callable[[], object]] = [
            lambda: pub.send(b"child"),
            lambda: pub.send_many([b"child"]),
            lambda: pub.send_gap(3, 3),
            lambda: pub.heartbeat(),
            lambda: pub.stats,
            lambda: pub.next_sequence,
            lambda: sub.poll(0),
            lambda: sub.position,
            lambda: sub.stats,
            lambda: next(iter(sub)),
            lambda: link.node.publish("child"),
            lambda: link.peer.streams(),
        ]
        for call in calls:
            with pytest.raises(rdmaq.ClosedError, match="do not survive a fork"):
                call()
        for handle in (sub, pub, link.node, link.peer):
            assert handle.closed
            handle.close()
        assert batch.messages == [b"before"], "what was copied out is the child's own"
        with rdmaq.Node("local:child") as node, rdmaq.connect("local:child") as peer:
            own = node.publish("c", capacity=link.transport.capacity_bytes)
            own_sub = peer.subscribe("c")
            own.send(b"own")
            assert take_messages(own_sub, 1) == [b"own"]

    in_forked_child(check)
    assert not pub.closed
    assert pub.reader_count == 1
    pub.send(b"after")
    assert take_messages(sub, 2) == [b"unread", b"after"]
    with link.peer.subscribe("s", start="oldest") as late:
        assert take_messages(late, 3) == [b"before", b"unread", b"after"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_child_forked_while_another_thread_is_inside_is_told_of_the_fork(link: Link) -> None:
    """Not of that thread, which the child does not have; the parent's goes on waiting."""
    pub, sub = link.publish(), link.subscribe(wait="sleep")

    def check() -> None:
        calls: list[Callable[[], object]] = [
            lambda: sub.poll(0),
            lambda: next(iter(sub)),
            lambda: sub.view(0).__enter__(),
        ]
        for call in calls:
            with pytest.raises(rdmaq.ClosedError, match="do not survive a fork"):
                call()

    with running(sub.poll) as outcome:
        eventually(lambda: sub.stats.wakes > 0, "the poll to sleep")
        in_forked_child(check)
        assert outcome == {}
        pub.send(b"after")
    assert outcome["result"].messages == [b"after"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_closed_and_failed_handles_do_not_keep_a_fork_from_marking_the_living(link: Link) -> None:
    """Keep a closed node and two that were never made: the child refuses, and closes no more.

    The closed node's descriptor numbers are a pipe's by then.
    """
    pub = link.publish()
    closed = rdmaq.Node("local:closed")
    closed.close()
    with pytest.raises(rdmaq.AddressInUse) as no_node:
        link.transport.node_at(link.address)
    with pytest.raises(rdmaq.CapacityError) as no_publisher:
        link.publish("odd", capacity=3)
    pipes = [os.pipe() for _ in range(8)]

    def check() -> None:
        for fd in (fd for pair in pipes for fd in pair):
            os.fstat(fd)
        with pytest.raises(rdmaq.ClosedError, match="do not survive a fork"):
            pub.send(b"child")

    in_forked_child(check)
    for fd in (fd for pair in pipes for fd in pair):
        os.close(fd)
    del closed, no_node, no_publisher


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_that_lives_on_does_not_keep_what_its_parent_closes(link: Link) -> None:
    """The child holds copies of sockets: hang-ups, slots and the name must not wait for it."""
    pub, sub = link.publish(), link.subscribe()
    gate_read, gate_write = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        os.close(gate_write)
        os.read(gate_read, 1)  # until the parent is done
        os._exit(0)
    os.close(gate_read)
    try:
        sub.close()
        eventually(lambda: pub.reader_count == 0, "the slot to be freed")
        link.node.close()
        with link.transport.node_at(link.address):
            pass
    finally:
        os.close(gate_write)
        os.waitpid(pid, 0)


def test_handles_cannot_be_pickled_or_copied_and_say_what_to_send_instead(link: Link) -> None:
    """TypeError with the cure, for each of the four, by pickle, copy and deepcopy."""
    pub, sub = link.publish(), link.subscribe()
    for handle in (link.node, link.peer, pub, sub):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="send the address"):
                attempt(handle)


def test_values_can_be_pickled(link: Link) -> None:
    """Gaps, stats, events, flows and stream descriptions are plain values."""
    pub, sub = link.publish(), link.subscribe()
    pub.send_gap(1, 2)
    gap = take(sub).gap
    for value in (gap, pub.stats, sub.stats, sub.events(), pub.flow, link.peer.streams()):
        assert pickle.loads(pickle.dumps(value)) == value


_SENDS_OF_ALL_KINDS = """
import sys
import numpy as np
import rdmaq

with rdmaq.Node("local:rig") as node, node.publish("s", [("a", "<u8")], capacity="4MiB") as pub:
    with rdmaq.connect("local:rig") as peer, peer.subscribe("s") as sub:
        before = set(sys.modules)
        pub.send((1,))
        pub.send_batch([(2,)])
        pub.send_batch(np.zeros(4, sub.schema)[::2])
        assert len(sub.poll(0, into=np.zeros(4, sub.schema))) == 4
        print(sorted(set(sys.modules) - before))
"""


@pytest.mark.usefixtures("runtime_dir")
def test_sending_and_polling_import_nothing() -> None:
    """An import takes a lock, which a child that is forked meanwhile never gets."""
    command = [sys.executable, "-c", _SENDS_OF_ALL_KINDS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
