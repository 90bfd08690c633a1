"""A first link, and a session's last word, where the other side does what it likes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq import errors
from rdmaq._fast import lib
from rdmaq.bootstrap.messages import LinkOutrun
from rdmaq.sessions.calling import CallingSession
from rdmaq.sessions.probe import Farewell, ProbeMemory
from rdmaq.sessions.remote import Remote
from rdmaq.verbs.link_settings import LinkSettings
from rdmaq.verbs.settings import PairSettings


class Outlet:
    """Counts who uses the device."""

    def __init__(self) -> None:
        self.holders = 0
        self.device = SimpleNamespace(port=SimpleNamespace(device="none"))

    def hold(self) -> None:
        self.holders += 1

    def let_go(self) -> None:
        self.holders -= 1


class Ungranted(Remote):
    """Whose node speaks of a link that it has not granted."""

    def _dialled(self) -> CallingSession:
        raise LinkOutrun("the link of 's' has ended before it began")


def test_link_that_was_outrun_before_it_was_granted_is_the_callers_error() -> None:
    """There is nothing to read on from; and nothing of it is left."""
    outlet: Any = Outlet()
    unused: Any = None
    request = {"start": lib.RQ_START_LIVE, "start_value": 0}
    remote = Ungranted(unused, outlet, request, 0, LinkSettings(), PairSettings())
    with pytest.raises(errors.BootstrapError, match="before it began"):
        remote.connect()
    assert outlet.holders == 0


def test_word_behind_a_sessions_end_is_an_error_that_its_speaker_knows() -> None:
    """It raised TypeError, out of `Publisher.close()`."""
    said: Any = ProbeMemory.__new__(ProbeMemory)
    said.memory = SimpleNamespace(buffer=None, closed_error=lambda: errors.ClosedError("closed"))
    unused: Any = None
    with pytest.raises(errors.ClosedError):
        said.say(unused, unused, Farewell.LINK_ENDED)
    assert (said.farewell, said.farewell_cause) == (0, 0)
