"""close() at any moment of another thread's reading: always ClosedError, never another story."""

from __future__ import annotations

import threading

import pytest

import rdmaq
from tests.conformance.rig import Link
from tests.conformance.test_full import running


@pytest.mark.parametrize("on_restart", ["raise", "follow"])
def test_close_between_two_crossings_is_not_taken_for_the_publishers_death(
    link: Link, monkeypatch: pytest.MonkeyPatch, on_restart: str
) -> None:
    """The other thread closes just when the poll, back from C, looks who lives."""
    link.publish()
    sub = link.subscribe(on_restart=on_restart)
    looking, closed = threading.Event(), threading.Event()
    publisher_lives = type(sub._cursor).publisher_lives

    def look_slowly(cursor: object) -> bool:
        looking.set()
        closed.wait()
        return publisher_lives(cursor)  # type: ignore[arg-type]

    monkeypatch.setattr(type(sub._cursor), "publisher_lives", look_slowly)
    with running(lambda: sub.poll(None)) as outcome:
        looking.wait()
        sub.close()
        closed.set()
    assert isinstance(outcome["error"], rdmaq.ClosedError)
    assert not sub.ended
    assert [event.kind for event in sub.events()] == ["connected"]
