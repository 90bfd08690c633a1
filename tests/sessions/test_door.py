"""What a node keeps of its sessions, over devices of the test's own."""

from __future__ import annotations

import dataclasses
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq import errors, node_verbs
from rdmaq.bootstrap.messages import (
    AbsenceRefusal,
    ConnectAsk,
    Probed,
    ProbeTarget,
    Proof,
    Refusal,
)
from rdmaq.node_verbs import VerbsDoor
from rdmaq.region.exports import Exports
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.verbs.memory import RemoteMemory
from tests.bootstrap.rig import ASK, PAIR
from tests.sessions.test_choice import port

GOOD = Probed(write_arrived=True, read_arrived=True)


class Thing:
    """Anything with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Book:
    """What was made and ended."""

    def __init__(self) -> None:
        self.has_windows = True
        self.failure: Exception | None = None
        self.is_proved = True
        self.devices: list[Any] = []
        self.circles: list[Any] = []
        self.sessions: list[Any] = []

    def device(self, *_: object) -> Any:
        made: Any = Thing(limits=SimpleNamespace(has_windows=self.has_windows), is_closed=False)
        made.is_gone = False
        made.close = lambda: setattr(made, "is_closed", True)
        self.devices.append(made)
        return made

    def circle(self, device: Any, _owners: object) -> Any:
        made: Any = Thing(device=device, user_count=0, is_closed=False, revoked=[])
        made.close = lambda: setattr(made, "is_closed", True)
        made.revoke = made.revoked.append
        self.circles.append(made)
        return made

    def session(self, circle: Any, _ask: ConnectAsk) -> Any:
        made: Any = Thing(
            circle=circle,
            is_closed=False,
            has_atomics=True,
            attributes=PAIR,
            probe_target=ProbeTarget(address=4096, remote_key=1),
            pair=SimpleNamespace(facts="queue pair 1"),
            said=[],
        )
        made.close = lambda: setattr(made, "is_closed", True)
        made.open = self._open
        made.prove = lambda proof: (dataclasses.replace(GOOD, read_arrived=self.is_proved), proof)
        made.beat = lambda *_: True
        made.say = lambda why: made.said.append(int(why))
        self.sessions.append(made)
        return made

    def _open(self, _exported: object) -> RemoteMemory:
        if self.failure is not None:
            raise self.failure
        return RemoteMemory(address=8192, length=800, rkey=5)


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    made = Book()
    monkeypatch.setattr(node_verbs, "Device", made.device)
    monkeypatch.setattr(node_verbs, "Circle", made.circle)
    monkeypatch.setattr(node_verbs, "ServedSession", made.session)
    found = (port(0), port(0).gids[0])
    monkeypatch.setattr(DeviceChoice, "find", lambda *_: found)
    return made


@pytest.fixture
def door(book: Book) -> Any:
    exports = Exports("here:1")
    exports.export("book", list(range(100)), "read")
    made = VerbsDoor("127.0.0.1", DeviceChoice(), exports, lambda _: None, lambda _: None)
    yield made
    made.close()
    assert all(session.is_closed for session in book.sessions)
    assert all(device.is_closed for device in book.devices)
    assert not any(thread.name == "rdmaq-pulse" for thread in threading.enumerate())


def test_callers_share_a_circle_where_keys_are_bound_to_their_pairs(
    door: VerbsDoor, book: Book
) -> None:
    door.connect(b"1", ASK, "a")
    door.connect(b"2", ASK, "b")
    assert len(book.devices) == len(book.circles) == 1
    door.disconnect(b"1")
    door.disconnect(b"2")
    assert not book.circles[0].is_closed, "what is registered stays for the next caller"


def test_callers_have_circles_of_their_own_where_keys_are_not(door: VerbsDoor, book: Book) -> None:
    """The last session of a caller takes its circle, and what is pinned for it, with it."""
    book.has_windows = False
    for name, caller in ((b"1", "a"), (b"2", "b"), (b"3", "a")):
        door.connect(name, ASK, caller)
    assert len(book.circles) == 2
    assert book.sessions[0].circle is book.sessions[2].circle
    door.disconnect(b"1")
    assert not book.circles[0].is_closed
    door.disconnect(b"3")
    assert book.circles[0].is_closed
    assert not book.circles[1].is_closed
    door.connect(b"4", ASK, "a")
    assert not book.sessions[-1].circle.is_closed


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (errors.RegistrationError("cannot register: too much; lock more"), "Refusal"),
        (errors.RegionAccessError("'n' is counted in by CPUs: so; do not"), "AccessRefusal"),
    ],
)
def test_key_that_cannot_be_given_undoes_the_session_and_says_why(
    door: VerbsDoor, book: Book, failure: Exception, kind: str
) -> None:
    book.failure = failure
    with pytest.raises(Refusal, match=r".+: .+; .+") as caught:
        door.connect(b"1", ASK, "a")
    assert type(caught.value).__name__ == kind
    assert str(failure) in str(caught.value)
    assert book.sessions[0].is_closed
    assert book.circles[0].user_count == 0
    book.failure = None
    door.connect(b"1", ASK, "a")


def test_region_that_is_not_exported_is_refused_before_anything_is_made(
    door: VerbsDoor, book: Book
) -> None:
    with pytest.raises(AbsenceRefusal, match="no region or table 'else' is exported here"):
        door.connect(b"1", dataclasses.replace(ASK, regions=("book", "else")), "a")
    assert book.devices == book.sessions == []


def test_region_that_goes_while_its_key_is_made_is_told_as_absent(
    door: VerbsDoor, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a peer which waits for it goes on waiting."""
    exported = door._exports.find("book")
    assert exported is not None
    opened = book._open

    def open_late(_exported: object) -> RemoteMemory:
        exported.close()
        book.failure = errors.ClosedError("region 'book' was revoked: it is gone; ask again")
        return opened(_exported)

    monkeypatch.setattr(book, "_open", open_late)
    with pytest.raises(AbsenceRefusal, match="no region or table 'book' is exported here"):
        door.connect(b"1", ASK, "a")
    assert book.sessions[0].is_closed


def test_session_is_proved_or_refused_with_the_reason(door: VerbsDoor, book: Book) -> None:
    door.connect(b"1", ASK, "a")
    assert door.probe(b"1", Proof()) == (GOOD, Proof())
    book.is_proved = False
    door.connect(b"2", ASK, "a")
    with pytest.raises(Refusal, match="its proof does not fit"):
        door.probe(b"2", Proof())
    with pytest.raises(Refusal, match="has ended meanwhile"):
        door.probe(b"3", Proof())


def test_disconnect_ends_a_session_once_and_no_other(door: VerbsDoor, book: Book) -> None:
    door.connect(b"1", ASK, "a")
    door.connect(b"2", ASK, "a")
    door.disconnect(b"1")
    door.disconnect(b"1")
    door.disconnect(b"never was")
    assert [session.is_closed for session in book.sessions] == [True, False]
    assert book.circles[0].user_count == 1


@pytest.mark.parametrize("has_windows", [True, False])
def test_device_that_is_gone_is_closed_with_its_sessions_and_opened_anew(
    door: VerbsDoor, book: Book, has_windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed and made again: the next caller is connected by what is there now."""
    ended: list[bytes] = []

    def end(name: bytes) -> None:
        ended.append(name)
        door.disconnect(name)

    monkeypatch.setattr(door, "_end", end)
    book.has_windows = has_windows
    door.connect(b"1", ASK, "a")
    door.connect(b"2", ASK, "b")
    door._retire_gone()
    assert ended == []
    book.devices[0].is_gone = True
    door.connect(b"3", ASK, "a")
    assert ended == [b"1", b"2"]
    assert [session.is_closed for session in book.sessions] == [True, True, False]
    assert [device.is_closed for device in book.devices] == [True, False]
    assert book.sessions[2].circle.device is book.devices[1]


def test_device_that_cannot_even_be_closed_stands_in_nobodys_way(
    door: VerbsDoor, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    door.connect(b"1", ASK, "a")
    device = book.devices[0]
    device.is_gone = True

    def refuse() -> None:
        device.is_closed = True
        raise errors.DeviceNotFound("cannot close rxe0: Input/output error; see the log")

    device.close = refuse
    door._retire_gone()
    assert "cannot close rxe0" in caplog.text
    door.disconnect(b"1")
    door.connect(b"2", ASK, "a")
    assert len(book.devices) == 2


def test_closing_tells_every_peer_and_takes_no_more(door: VerbsDoor, book: Book) -> None:
    door.connect(b"1", ASK, "a")
    door.say_farewell()
    assert book.sessions[0].said == [1]
    with pytest.raises(Refusal, match="the node is closed"):
        door.connect(b"2", ASK, "a")
    assert len(book.sessions) == 1


def test_closing_ends_all_the_rest_whatever_refuses_to_end(door: VerbsDoor, book: Book) -> None:
    """Told by the first error, when everything else is closed."""
    for name in (b"1", b"2", b"3"):
        door.connect(name, ASK, "a")

    def refuse() -> None:
        book.sessions[1].is_closed = True
        raise errors.PairError("cannot destroy it: Input/output error; see the log")

    book.sessions[1].close = refuse
    with pytest.raises(errors.PairError, match="cannot destroy it"):
        door.close()
    assert all(session.is_closed for session in book.sessions)
    assert book.devices[0].is_closed


def test_session_that_is_made_while_the_node_closes_is_undone(
    door: VerbsDoor, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node has told its peers already, and would never end this one."""
    make = book.session

    def make_late(*arguments: Any) -> Any:
        door.say_farewell()
        return make(*arguments)

    monkeypatch.setattr(node_verbs, "ServedSession", make_late)
    with pytest.raises(Refusal, match=r"the node is closed: .+; connect"):
        door.connect(b"1", ASK, "a")
    assert book.sessions[0].is_closed
    assert book.circles[0].user_count == 0


def test_revoking_reaches_every_circle(door: VerbsDoor, book: Book) -> None:
    book.has_windows = False
    door.connect(b"1", ASK, "a")
    door.connect(b"2", ASK, "b")
    exported = door._exports.find("book")
    assert exported is not None
    exported.close()
    assert [circle.revoked for circle in book.circles] == [[exported], [exported]]
    with pytest.raises(Refusal, match="is exported here"):
        door.connect(b"3", ASK, "a")
