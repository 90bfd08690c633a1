"""multiprocessing's ways to start a process: with handles, and with what should be sent instead."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest

import rdmaq
from tests.conformance.rig import PATIENCE_SECONDS, Link, take_messages

METHODS = ["fork", "spawn", "forkserver"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


def use(handle: Any, answers: Any) -> None:
    """In the child: what every call of a parent's handle gives."""
    calls: dict[str, list[Callable[[], object]]] = {
        "Node": [lambda: handle.publish("child")],
        "Peer": [lambda: handle.streams(), lambda: handle.subscribe("s")],
        "Publisher": [lambda: handle.send(b"child"), lambda: handle.claim(1).__enter__()],
        "Subscription": [lambda: handle.poll(0), lambda: handle.view(0).__enter__()],
    }
    said = []
    for call in calls[type(handle).__name__]:
        try:
            said.append(f"it gave {call()!r}")
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    handle.close()
    answers.send(said)


def relay(folder: str, address: str, name: str, answers: Any) -> None:
    """In the child: what is inherited open, and a subscription made of what can be sent."""
    os.environ["RDMAQ_RUNTIME_DIR"] = folder  # a fork server keeps the variables of its first test
    inherited = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            inherited.append(str(path.readlink()))
    with rdmaq.connect(address, timeout=PATIENCE_SECONDS).subscribe(name, start="oldest") as sub:
        messages = [bytes(message) for message in take_messages(sub, 2)]
    answers.send((messages, [path for path in inherited if "memfd:rdmaq" in path]))


def finish(process: Any) -> None:
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0


def check_untouched(link: Link, pub: rdmaq.Publisher, sub: rdmaq.Subscription) -> None:
    """The parent's ring is as it was: same readers, nothing sent or read by another process."""
    sequence = pub.next_sequence
    assert (pub.reader_count, sub.position) == (1, 1)
    assert pub.send(b"after") == sequence
    assert take_messages(sub, 2) == [b"before", b"after"]
    assert [stream.name for stream in link.peer.streams()] == ["s"]


@pytest.mark.parametrize("which", ["node", "peer", "publisher", "subscription"])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_handle_as_an_argument_is_refused_where_it_has_to_be_pickled(
    link: Link, method: str, which: str
) -> None:
    """`start` raises TypeError with the cure in the parent; no child comes, and nothing changed."""
    context: BaseContext = multiprocessing.get_context(method)
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"before")
    handle = {"node": link.node, "peer": link.peer, "publisher": pub, "subscription": sub}[which]
    process = context.Process(target=use, args=(handle, None))  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="send the address and the stream's name"):
        process.start()
    check_untouched(link, pub, sub)


def test_handles_in_a_forked_process_raise_and_the_parents_ring_is_untouched(link: Link) -> None:
    """With "fork" nothing is pickled: the child has copies, which refuse every call and close."""
    context = multiprocessing.get_context("fork")
    pub, sub = link.publish(), link.subscribe()
    pub.send(b"before")
    for handle in (link.node, link.peer, pub, sub):
        answers, sending = context.Pipe(duplex=False)
        process = context.Process(target=use, args=(handle, sending))
        process.start()
        with answers, sending:
            assert answers.poll(PATIENCE_SECONDS)
            for answer in answers.recv():
                assert answer.startswith("ClosedError"), answer
                assert "do not survive a fork" in answer
        finish(process)
    check_untouched(link, pub, sub)


@pytest.mark.parametrize("method", METHODS)
def test_child_that_is_sent_the_address_and_the_name_subscribes_by_itself(
    link: Link, runtime_dir: Path, method: str
) -> None:
    """However it was started, with the parent's handles alive. It holds none of their memory."""
    context: BaseContext = multiprocessing.get_context(method)
    pub = link.publish()
    pub.send_many([b"one", b"two"])
    answers, sending = context.Pipe(duplex=False)
    process = context.Process(  # type: ignore[attr-defined]
        target=relay, args=(str(runtime_dir), link.address, "s", sending)
    )
    process.start()
    with answers, sending:
        assert answers.poll(PATIENCE_SECONDS)
        assert answers.recv() == ([b"one", b"two"], [])
    finish(process)
    assert pub.send(b"three") == 3
