"""The thread that looks after links: it runs while there are some, and is asked for in words."""

from __future__ import annotations

import os
import threading
from typing import NoReturn

import pytest

from rdmaq.errors import CapacityError
from rdmaq.sessions.minder import Minder


class Minded:
    def __init__(self) -> None:
        self.looked = threading.Event()

    def look(self) -> None:
        self.looked.set()

    def ready(self) -> None:
        """Never."""


def test_where_no_thread_begins_nothing_is_minded_and_the_next_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else nobody would ever look after a link of this process again."""
    minder, minded, descriptor = Minder(), Minded(), os.eventfd(0)

    def refuse(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CapacityError, match=r"can't start new thread; .*ulimit -u"):
            minder.add(descriptor, minded)
    assert minder._minded == {}
    minder.add(descriptor, minded)
    assert minded.looked.wait(30)
    minder.remove(descriptor)
    os.close(descriptor)
