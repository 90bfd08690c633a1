"""What is refused for want of room is told with its cure, and leaves nothing behind."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rdmaq
from rdmaq.errors import RegistrationError
from rdmaq.sessions.served_link import ServedLink
from rdmaq.stream import keeper
from rdmaq.verbs.link_settings import LinkSettings


class FullDomain:
    """Registers so many buffers, and has room for no queue pair."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.registered = 0

    def register(self, _: object) -> Any:
        if self.registered == self.room:
            raise RegistrationError("no memory can be locked: there is none; free some")
        self.registered += 1
        return SimpleNamespace(close=self.deregister)

    def deregister(self) -> None:
        self.registered -= 1

    def pair(self, *_: object, **__: object) -> Any:
        raise rdmaq.PairError("there is no room for a queue pair: none is left; close others")


@pytest.mark.parametrize("room", [0, 1])
def test_link_that_the_device_refuses_leaves_no_memory_and_no_descriptor(room: int) -> None:
    domain: Any = FullDomain(room)
    before = len(list(Path("/proc/self/fd").iterdir()))
    anything: Any = None
    pair: Any = SimpleNamespace(domain=domain)
    with pytest.raises((RegistrationError, rdmaq.PairError)):
        ServedLink(anything, pair, anything, anything, LinkSettings(), lambda: True)
    assert domain.registered == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_thread_that_cannot_be_started_names_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "lib", SimpleNamespace(rq_keeper_start=lambda _: -errno.EAGAIN))
    with pytest.raises(rdmaq.CapacityError, match=r"cannot be started: .*EAGAIN.*; raise the lim"):
        keeper.start()
