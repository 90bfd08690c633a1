"""A peer's own connection over verbs and its device, let go of by several threads at once."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from rdmaq.errors import ClosedError, CredentialsError
from rdmaq.peer_verbs import VerbsLink
from rdmaq.sessions.calling import dial
from rdmaq.sessions.outlet import Outlet


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


def test_connection_without_a_client_or_a_device_leaves_neither_held() -> None:
    """A certificate that cannot be read any more, a peer that was closed meanwhile."""
    outlet: Any = Outlet.__new__(Outlet)
    outlet._lock, outlet._holders, outlet._keeper = threading.Lock(), 1, None
    outlet._pid = os.getpid()
    outlet.device = Counted()

    def unreadable(_: float | None) -> Any:
        raise CredentialsError("ca_file 'ca.pem' cannot be read: No such file; give its path")

    with pytest.raises(CredentialsError):
        dial(unreadable, outlet)
    outlet.let_go()
    assert outlet.device.count == 1
    client: Any = Counted()
    with pytest.raises(ClosedError):
        dial(lambda _: client, outlet)
    assert client.count == 1
