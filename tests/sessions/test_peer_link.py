"""A peer's own connection over verbs, closed by several threads at once."""

from __future__ import annotations

from typing import Any

import pytest

from rdmaq.errors import ClosedError
from rdmaq.peer_verbs import VerbsLink


class Turns:
    """A lock; whoever lets go of it first is overtaken by another thread's whole `close`."""

    def __init__(self, link: VerbsLink) -> None:
        self._link: VerbsLink | None = link

    def __enter__(self) -> None:
        """Nobody else is inside."""

    def __exit__(self, *_: object) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


class Counted:
    """A session or an outlet: how often it was let go."""

    def __init__(self) -> None:
        self.count = 0

    def close(self) -> None:
        self.count += 1

    let_go = close


def made() -> Any:
    link: Any = VerbsLink.__new__(VerbsLink)
    link._where, link._is_closed = "feed-1:7471", False
    link._base, link._outlet = Counted(), Counted()
    link._lock = Turns(link)
    return link


def test_two_who_close_at_once_let_go_once() -> None:
    """The session ends, and the outlet has one holder fewer: its regions hold it still."""
    link = made()
    base, outlet = link._base, link._outlet
    link.close()
    assert (base.count, outlet.count) == (1, 1)


def test_ping_that_comes_after_the_end_connects_no_more() -> None:
    link = made()
    link.close()
    with pytest.raises(ClosedError, match=r"feed-1:7471 is closed: .+; connect again"):
        link.ping()
    assert link._outlet.count == 1
