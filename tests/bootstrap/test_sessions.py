"""The book of sessions by itself: whose end fails is nobody else's trouble."""

from __future__ import annotations

import logging

import pytest

from rdmaq.bootstrap.sessions import SessionLimits, Sessions

LIMITS = SessionLimits(confirm_seconds=5.0)


def test_session_that_cannot_be_ended_troubles_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It expires while another caller connects: that one is served, and it is logged."""
    now, ended = 100.0, []

    def end(session: bytes) -> None:
        ended.append(session)
        if session == first:
            raise RuntimeError("its device is gone")

    sessions = Sessions(LIMITS, end, clock=lambda: now)
    first = sessions.open(sessions.challenge("a"), "a")
    second = sessions.open(sessions.challenge("b"), "b")
    sessions.granted(first)
    sessions.granted(second)
    now += LIMITS.confirm_seconds + 1
    with caplog.at_level(logging.ERROR):
        third = sessions.open(sessions.challenge("c"), "c")
    assert set(ended) == {first, second}
    assert "could not be ended" in caplog.text
    first = third
    fourth = sessions.open(sessions.challenge("d"), "d")
    sessions.end_all()
    assert {third, fourth} <= set(ended)
    assert sessions.counts()[0] == 0
