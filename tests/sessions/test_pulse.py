"""The pulse over sessions of the test's own."""

from __future__ import annotations

import threading

from rdmaq.sessions.pulse import Pulse
from tests.conformance.rig import eventually


class Session:
    """Answers as a test says; counts how often it was looked at."""

    def __init__(self, answers: bool | Exception) -> None:
        self.answers = answers
        self.looks = 0

    def beat(self, _now: float, _every_seconds: float) -> bool:
        self.looks += 1
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


def test_sessions_whose_peer_is_dead_are_ended_and_no_others() -> None:
    """One that raises costs its own look only; so does the look before them all."""
    there = {b"a": Session(True), b"b": Session(False), b"c": Session(RuntimeError("a bug"))}
    lock = threading.Lock()
    ended: list[bytes] = []

    def sessions() -> list[tuple[bytes, Session]]:
        with lock:
            return list(there.items())

    def end(name: bytes) -> None:
        with lock:
            ended.append(name)
            del there[name]

    turns = []

    def look() -> None:
        turns.append(1)
        raise RuntimeError("a bug")

    pulse = Pulse(sessions, end, look, every_seconds=0.01)
    try:
        eventually(lambda: there[b"a"].looks > 20 and there[b"c"].looks > 20, "looks")
    finally:
        pulse.close()
    assert ended == [b"b"]
    assert len(turns) > 20
    looks = there[b"a"].looks
    assert not any(thread.name == "rdmaq-pulse" for thread in threading.enumerate())
    assert there[b"a"].looks == looks
