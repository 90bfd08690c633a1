"""What the settings of a link's two sides come to, and who is told of it."""

from __future__ import annotations

from typing import Any

import pytest

import rdmaq
from rdmaq import verbs
from rdmaq.bootstrap.messages import LinkAsk, LinkGrant
from rdmaq.sessions.link_terms import (
    LinkTerms,
    less_than_asked,
    terms_at_publisher,
    terms_at_subscriber,
)
from rdmaq.sessions.remote import Remote
from rdmaq.sessions.remote_cursor import RemoteCursor
from rdmaq.stream.cursor import Cursor

ANY: Any = None


def asked(tail: str, receives: int = 64, depth: int = 16) -> LinkAsk:
    """As a subscriber of this release asks."""
    return LinkAsk(
        stream="s",
        subscription=b"",
        generation=1,
        epoch=1,
        position=0,
        cursor=0,
        tail_mode=tail,
        credit_count=receives if tail == "imm" else 0,
        replica=ANY,
        pair=ANY,
        depth=depth,
        receive_count_max=receives,
    )


def granted(terms: LinkTerms) -> LinkGrant:
    return LinkGrant(
        pair=ANY,
        start=0,
        sequence=0,
        tail_mode=terms.tail,
        credit_count=terms.credits,
        depth=terms.depth,
    )


@pytest.mark.parametrize(
    ("own", "ask", "tail", "receives", "depth"),
    [
        ({}, asked("write"), "write", 0, 16),
        ({}, asked("imm"), "imm", 64, 16),
        ({"tail": "write"}, asked("imm"), "imm", 64, 16),
        ({"tail": "imm"}, asked("write"), "imm", 64, 16),
        ({"tail": "imm", "credits": 8}, asked("write"), "imm", 8, 16),
        ({"credits": 8, "depth": 4}, asked("imm"), "imm", 8, 4),
        ({"credits": 64, "depth": 64}, asked("imm", 16, 2), "imm", 16, 2),
    ],
)
def test_of_both_sides_settings_the_lesser_counts_at_both(
    own: dict[str, Any], ask: LinkAsk, tail: str, receives: int, depth: int
) -> None:
    """The publisher decides, and the subscriber comes to the same by what is granted."""
    terms = terms_at_publisher(verbs.LinkSettings(**own), ask)
    assert terms == LinkTerms(tail=tail, credits=receives, depth=depth)
    assert terms_at_subscriber(granted(terms), ask) == terms


def test_subscriber_is_told_what_the_publisher_takes_away_and_nothing_else() -> None:
    """Each thing by its name, with what was asked beside it."""
    ask = asked("write")
    assert less_than_asked(terms_at_publisher(verbs.LinkSettings(), ask), ask) == ""
    settings = verbs.LinkSettings(tail="imm", depth=4)
    said = less_than_asked(terms_at_publisher(settings, ask), ask)
    assert "tails by imm instead of write" in said
    assert "4 chains in flight instead of 16" in said
    ask = asked("imm")
    said = less_than_asked(terms_at_publisher(verbs.LinkSettings(credits=8), ask), ask)
    assert said.endswith("8 receives instead of 64")


def test_release_that_says_nothing_of_it_gets_what_it_asks_for() -> None:
    """An older subscriber offers no receives for tails by WRITE; an older node says no terms."""
    old = LinkAsk(**{**_fields(asked("write")), "depth": 0, "receive_count_max": 0})
    terms = terms_at_publisher(verbs.LinkSettings(tail="imm", depth=4), old)
    assert terms == LinkTerms(tail="write", credits=0, depth=4)
    answer = LinkGrant(pair=ANY, start=0, sequence=0)
    assert terms_at_subscriber(answer, asked("imm")) == LinkTerms(tail="imm", credits=64, depth=0)


def _fields(ask: LinkAsk) -> dict[str, Any]:
    return {name: getattr(ask, name) for name in ask.__slots__}


def test_silence_is_told_after_as_long_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told after a second, whatever they said."""
    remote: Any = Remote.__new__(Remote)
    remote._settings = verbs.LinkSettings(silent_seconds=0.25)
    cursor: Any = RemoteCursor.__new__(RemoteCursor)
    cursor.remote = remote
    assert cursor.silent_ns == 250_000_000
    with (
        rdmaq.Node("local:terms") as node,
        node.publish("s", capacity="64KiB"),
        rdmaq.connect("local:terms").subscribe("s") as subscription,
    ):
        assert subscription.poll(0.1) is None
        monkeypatch.setattr(Cursor, "silent_ns", 1)  # a heartbeat is older at any time
        assert subscription.poll(0.1) is None
        assert [event.kind for event in subscription.events()] == ["connected", "silent"]


def test_settings_that_are_none_are_refused_wherever_they_are_given() -> None:
    """By name, before anything is made; and at an address that no link leads to."""
    wrong: Any = {"tail": "imm"}
    with pytest.raises(TypeError, match="link_settings="):
        rdmaq.connect("local:nowhere", link_settings=wrong)
    with pytest.raises(TypeError, match="link_settings="):
        rdmaq.Node("local:terms", link_settings=wrong)
    with pytest.raises(rdmaq.UnsupportedTransport, match="link_settings="):
        rdmaq.Node("local:terms", link_settings=verbs.LinkSettings())
    with pytest.raises(rdmaq.UnsupportedTransport, match="link_settings="):
        rdmaq.connect("local:nowhere", link_settings=verbs.LinkSettings())
    with rdmaq.Node("local:terms") as node:
        with pytest.raises(TypeError, match="link_settings="):
            node.publish("s", capacity="64KiB", link_settings=wrong)
        with node.publish("s", capacity="64KiB", link_settings=verbs.LinkSettings()) as publisher:
            assert publisher.links() == []
            assert publisher.stats.links == ()
            peer = rdmaq.connect("local:terms")
            with pytest.raises(TypeError, match="link_settings="):
                peer.subscribe("s", link_settings=wrong)
            with peer.subscribe("s", link_settings=verbs.LinkSettings()) as subscription:
                assert subscription.negotiated() == {"transport": "shm"}
            with pytest.raises(rdmaq.ClosedError):
                subscription.negotiated()
