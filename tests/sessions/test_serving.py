"""A session at its node ends whole, whatever of it refuses to; over a device of the test's own."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq.bootstrap.messages import Refusal
from rdmaq.errors import RegistrationError
from rdmaq.sessions import serving
from rdmaq.sessions.serving import ServedSession
from rdmaq.verbs.memory import RemoteMemory
from tests.bootstrap.rig import ASK, LINK

REFUSED = RegistrationError("cannot close a window: Input/output error; close its pair")


class Things:
    """A circle, its pair and what hangs on them; `ended` says what was closed, in order."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.refuses: set[str] = set()
        self._window_count = 0
        self.pair: Any = self._thing("pair", connect=lambda _: None, window=self._window)
        domain = SimpleNamespace(pair=lambda *_, **__: self.pair, register=self._register)
        limits = SimpleNamespace(has_atomics=True)
        self.circle: Any = SimpleNamespace(
            domain=domain,
            device=SimpleNamespace(limits=limits),
            has_windows=True,
            lock=threading.RLock(),
            sessions=set(),
            registered=lambda _: "memory",
        )

    def _thing(self, name: str, **more: Any) -> Any:
        def close() -> None:
            self.ended.append(name)
            if name in self.refuses:
                raise REFUSED

        return SimpleNamespace(close=close, **more)

    def _register(self, buffer: bytearray, _access: object) -> Any:
        return self._thing("probe", buffer=buffer, address=4096, rkey=1)

    def _window(self, *_: object) -> Any:
        self._window_count += 1
        remote = RemoteMemory(address=4096, length=8192, rkey=self._window_count)
        return self._thing(f"window {self._window_count}", remote=remote)

    def session(self) -> ServedSession:
        made = ServedSession(self.circle, ASK)
        for access in ("read", "write"):
            exported: Any = SimpleNamespace(info=SimpleNamespace(access=access))
            made.open(exported)
        assert self.circle.sessions == {made}
        return made


def test_windows_go_before_their_pair_and_the_pair_before_its_memory() -> None:
    """Number 1 is of the probe's memory, and goes with the pair."""
    things = Things()
    things.session().close()
    assert things.ended == ["window 2", "window 3", "pair", "probe"]
    assert things.circle.sessions == set()


def test_window_that_cannot_be_closed_spares_neither_the_others_nor_the_pair() -> None:
    """The pair alone can use its key, so that it opens nothing after all."""
    things = Things()
    things.refuses = {"window 2"}
    things.session().close()
    assert things.ended == ["window 2", "window 3", "pair", "probe"]


class Link:
    """What a stream's links give; its end may refuse."""

    grant: Any = "granted"


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Any:
    def refuse(_: object) -> None:
        raise REFUSED

    made = SimpleNamespace(open=lambda *_: Link(), end=refuse)
    monkeypatch.setattr(serving, "links_of", lambda _: made)
    return made


def test_link_that_cannot_be_ended_does_not_keep_the_keys_alive(links: Any) -> None:
    things = Things()
    session = things.session()
    granted: Any = session.open_link(links, LINK)
    assert granted == "granted"
    with pytest.raises(RegistrationError, match="cannot close a window"):
        session.close()
    assert things.ended == ["window 2", "window 3", "pair", "probe"]


def test_link_that_is_made_when_its_session_has_ended_is_ended_at_once(links: Any) -> None:
    """The session expired while the ring was being registered: nobody else would end it."""
    things = Things()
    session = things.session()
    ended: list[Link] = []
    links.end = ended.append

    def open_late(*_: object) -> Link:
        session.close()
        return Link()

    links.open = open_late
    with pytest.raises(Refusal, match=r"ended meanwhile: connect again"):
        session.open_link(links, LINK)
    assert len(ended) == 1
