"""What `rdmaq-md publish` and `subscribe` say while they run, and while they wait."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from rdmaq_services.market_data import follow
from rdmaq_services.market_data.follow import Follower, Wish

import rdmaq

Start = Callable[..., "subprocess.Popen[str]"]
DEADLINE_SECONDS = 60.0


def test_wait_for_a_further_session_is_told_once_and_ends_on_timeout(
    start_rdmaq_md: Start,
) -> None:
    """The stream has ended, its node has not."""
    address = f"local:md-waits-{os.getpid()}"
    with rdmaq.Node(address) as node:
        stream = node.publish("itch", flow=rdmaq.reliable(min_readers=1, timeout=DEADLINE_SECONDS))
        subscriber = start_rdmaq_md("subscribe", address, "--timeout", 1.5)
        stream.send(b"A" * 36)
        stream.close()
        _, errors = subscriber.communicate(timeout=DEADLINE_SECONDS)
    assert subscriber.returncode == 0, errors
    assert errors.count("waiting for a further session of itch") == 1
    assert errors.splitlines()[-1] == "no further session within 1.5 s (--timeout)"


def test_node_that_never_answers_ends_the_wait_for_a_further_session() -> None:
    class Peer:
        asked = 0

        def subscribe(self, *_: Any, **__: Any) -> None:
            self.asked += 1
            raise rdmaq.HandoverError("the node did not answer")

    peer: Any = Peer()
    ended: Any = SimpleNamespace(name="itch", epoch=1)
    follower = Follower(Wish(address="local:x", stream="itch"), print)
    with pytest.raises(rdmaq.HandoverError):
        follower._next_session(peer, ended)
    assert 1 < peer.asked <= follow.TRIES_MAX


@pytest.mark.parametrize("command", ["publish", "subscribe"])
def test_progress_is_shown_on_a_terminal_and_nowhere_else(
    start_rdmaq_md: Start, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal is the one's standard error; the other one's is a pipe."""
    address = f"local:md-{command}-{os.getpid()}"
    arguments = {
        "publish": ["publish", "--messages", "20000", "--speed", "1", "--wait-subscribers", "1"],
        "subscribe": ["subscribe", "--timeout", "60"],
    }
    monkeypatch.setenv("TERM", "xterm")
    terminal, inside = pty.openpty()
    for name, words in arguments.items():
        words[1:1] = ["--address", address] if name == "publish" else [address]
    shown = start_rdmaq_md(*arguments.pop(command), stderr=inside)
    os.close(inside)
    ((_, rest),) = arguments.items()
    other = start_rdmaq_md(*rest)
    seen = b""
    with suppress(OSError):  # EIO: everybody has closed the other side
        while chunk := os.read(terminal, 65536):
            seen += chunk
    os.close(terminal)
    _, errors = other.communicate(timeout=DEADLINE_SECONDS)
    assert (shown.wait(DEADLINE_SECONDS), other.returncode) == (0, 0), errors
    assert re.search(rb"(publisher|received) .*\d messages.*lost upstream", seen)
    assert "lost upstream" not in errors
