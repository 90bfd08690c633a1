"""From READs to a link that carries: when it may begin, and what an answer that is lost means."""

from __future__ import annotations

from typing import Any

import pytest

import rdmaq
from rdmaq._fast import lib
from rdmaq.sessions import replay
from rdmaq.sessions.backfill import Counts
from rdmaq.sessions.probe import Farewell
from rdmaq.sessions.replay import Replay

REACHED, FRAMES, PACED = lib.RQ_BACKFILL_REACHED, lib.RQ_BACKFILL_FRAMES, lib.RQ_BACKFILL_PACED


class World:
    """Session, replica, bootstrap and READs in one; writes down what it was asked, in order."""

    name = b"session"
    farewell = Farewell.NONE
    cursor_bytes = 32

    def __init__(self, steps: list[tuple[int, int, int]], answers: list[Any]) -> None:
        self.steps, self.answers = steps, answers
        self.did: list[Any] = []
        self.told: list[str] = []
        self.words: list[str] = []
        self.position, self.publisher_tail = 64, 0
        self.is_there = True
        self.has_ended = False

    # READs
    def step(self) -> int:
        code, self.position, self.publisher_tail = self.steps.pop(0)
        self.did.append("read")
        return code

    def close(self) -> None:
        pass

    # the session, and a client of the bootstrap
    def caller(self, _: float) -> World:
        return self

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        assert (session, cursor) == (b"session", 32)
        self.did.append(position)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    def beat(self) -> bool:
        return self.is_there

    def rest(self) -> None:
        self.did.append("rest")

    # the replica
    def state(self) -> int:
        return int(lib.RQ_REPLICA_ENDED if self.has_ended else lib.RQ_REPLICA_WAITING)

    def attach(self) -> None:
        self.did.append("attach")

    def detach(self) -> None:
        self.did.append("detach")

    def tell(self, kind: str, words: str) -> None:
        self.told.append(kind)
        self.words.append(words)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(replay, "_PAUSE_SECONDS", 0.0)

    def make(world: World) -> Replay:
        monkeypatch.setattr(replay, "Backfill", lambda *_, **__: world)
        anything: Any = world
        return Replay(
            anything,
            anything,
            anything,
            attach=world.attach,
            counts=Counts(),
            tell=world.tell,
        )

    return make


def test_link_begins_where_reading_ended_and_reading_goes_on_while_that_is_too_far_behind(
    made: Any,
) -> None:
    world = World([(FRAMES, 96, 160), (PACED, 96, 160), (REACHED, 160, 160), (REACHED, 320, 320)],
                  [False, True])  # fmt: skip
    made(world).run()
    reads = ["read", "read", "read"]
    assert world.did == [*reads, "attach", 160, "rest", "detach", "read", "attach", 320]
    assert world.told == ["replaying", "catching_up"]


def test_answer_that_did_not_come_is_asked_for_again_and_nothing_is_read_meanwhile(
    made: Any,
) -> None:
    """The link may have begun: a READ behind it would write what it writes."""
    lost = [rdmaq.PeerNotFound("no answer"), rdmaq.AuthenticationError("the handshake broke off")]
    world = World([(REACHED, 160, 160)], [*lost, True])
    made(world).run()
    assert world.did == ["read", "attach", 160, 160, 160]
    assert world.told == ["replaying", "catching_up"], "it took no time worth a word"


def test_reader_is_told_once_why_a_node_whose_card_alone_answers_keeps_him_waiting(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is stopped, or the bootstrap's port blocked: nothing comes, for as long as that.

    Nothing fails either, and a firewall is not found where nobody is told to look.
    """
    monkeypatch.setattr(replay, "_UNANSWERED_SECONDS", 0.0)
    lost = [rdmaq.PeerNotFound(f"no answer {n}; a firewall?") for n in range(3)]
    world = World([(REACHED, 160, 160)], [*lost, True])
    made(world).run()
    assert world.told == ["replaying", "catching_up", "catching_up"]
    assert "only the node's NIC answers: no answer 0; a firewall?" in world.words[-1]


def test_node_whose_card_does_not_answer_either_is_not_waited_for(made: Any) -> None:
    world = World([(REACHED, 160, 160)], [rdmaq.PeerNotFound("no answer")])
    world.is_there = False
    with pytest.raises(rdmaq.PeerNotFound):
        made(world).run()


def test_end_of_the_stream_that_was_read_needs_no_link(made: Any) -> None:
    world = World([(FRAMES, 160, 160)], [])
    world.has_ended = True
    made(world).run()
    assert world.did == ["read"]


def test_subscription_that_was_closed_or_revoked_reads_no_further(made: Any) -> None:
    world = World([(FRAMES, 96, 160)], [])
    reading = made(world)
    reading.cancel()
    with pytest.raises(rdmaq.ClosedError):
        reading.run()
    world.farewell = Farewell.LINK_ENDED
    with pytest.raises(rdmaq.BootstrapError):
        made(world).run()
    assert world.did == []
