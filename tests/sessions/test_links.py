"""A link at its publisher whose other side must hear of its end."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from rdmaq._fast import lib
from rdmaq.sessions.served_link import ServedLink


def test_subscriber_is_told_of_a_failed_link_until_it_could_be() -> None:
    """Its session may be busy at the first look; it would wait for ever, and call us silent."""
    answers = iter([False, False, True])
    link = ServedLink.__new__(ServedLink)
    link._lock = threading.Lock()
    link._is_closed = link._is_told = False
    failed = SimpleNamespace(state=lib.RQ_LINK_FAILED, cause=lib.RQ_LINK_CAUSE_STALLED)
    link._stats = lambda: failed  # type: ignore[method-assign]
    link.tell = lambda: next(answers)
    for _ in range(5):
        link.look()
    assert next(answers, None) is None
    assert link.was_cut_off
    assert not link.has_failed, "nobody is to ask for the next one"
