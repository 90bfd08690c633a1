"""A link's counts and causes, as `Publisher.links()` tells them."""

from __future__ import annotations

import errno
import re
from typing import Any

import pytest

from rdmaq._fast import ffi, lib
from rdmaq.sessions.link_facts import cause, link_info, packed, unpacked
from rdmaq.sessions.link_terms import LinkTerms
from rdmaq.verbs.constants import Status
from rdmaq.verbs.failure import PairFacts

PAIR = PairFacts(
    qp_num=17,
    remote_qp_num=18,
    device="rxe0, port 1",
    local="192.0.2.1",
    remote="192.0.2.2",
    mtu_bytes=4096,
    timers="timeout 16",
    seconds_max=7.5,
)


def stats_of(**fields: int) -> Any:
    stats = ffi.new("struct rq_link_stats *")
    stats.state = lib.RQ_LINK_LIVE
    for name, value in fields.items():
        setattr(stats, name, value)
    return stats


def test_counts_are_told_as_they_are() -> None:
    stats = stats_of(
        chains=3, writes=7, reads=2, bytes=960, lag_bytes=96, lag_bytes_max=640, starved=1,
        stalls=4, heartbeats=5, generation=2, credits_granted=70, credits_used=10,
    )  # fmt: skip
    told = link_info(stats, PAIR, LinkTerms(tail="imm", credits=64, depth=16))
    assert (told.peer, told.queue_pair, told.peer_queue_pair) == ("192.0.2.2", 17, 18)
    assert (told.state, told.cause, told.generation) == ("live", "", 2)
    assert (told.tail, told.depth, told.credits) == ("imm", 16, 60)
    assert (told.chains, told.writes, told.reads, told.bytes) == (3, 7, 2, 960)
    assert (told.lag_bytes, told.lag_bytes_max) == (96, 640)
    assert (told.starved, told.stalls, told.heartbeats) == (1, 4, 5)
    told = link_info(stats, PAIR, LinkTerms(tail="write", credits=0, depth=16))
    assert told.credits is None


def names(prefix: str) -> dict[str, int]:
    """The constants of that beginning."""
    pattern = re.compile(f"{prefix}[A-Z]+$")
    return {name: getattr(lib, name) for name in dir(lib) if pattern.match(name)}


@pytest.mark.parametrize("name", [n for n in names("RQ_LINK_") if n.count("_") == 2])
def test_each_state_has_a_word(name: str) -> None:
    told = link_info(stats_of(state=getattr(lib, name)), PAIR, LinkTerms(tail="write", credits=0,
                     depth=1))  # fmt: skip
    assert told.state == name.removeprefix("RQ_LINK_").lower()


@pytest.mark.parametrize("name", names("RQ_LINK_CAUSE_"))
def test_each_cause_is_told_in_words(name: str) -> None:
    said = cause(stats_of(state=lib.RQ_LINK_FAILED, cause=getattr(lib, name), status=errno.ENOMEM))
    assert "unknown here" not in said
    assert len(said) > 30


def test_failed_request_is_told_by_its_status() -> None:
    said = cause(
        stats_of(cause=lib.RQ_LINK_CAUSE_COMPLETION, status=Status.RETRY_EXC_ERR, vendor_error=0x81)
    )
    assert "status 12, vendor error 0x81" in said
    said = cause(stats_of(cause=lib.RQ_LINK_CAUSE_COMPLETION, status=99))
    assert "status 99" in said


def test_subscriber_is_told_the_same_words_as_the_publisher() -> None:
    """By eight bytes of its farewell; a cause that is not known here, or none, is told as that."""
    stats = stats_of(
        cause=lib.RQ_LINK_CAUSE_COMPLETION,
        status=Status.RETRY_EXC_ERR,
        vendor_error=0xFFFF_FFFF,
    )
    assert packed(stats).bit_length() <= 64
    assert unpacked(packed(stats)) == cause(stats)
    assert "unknown here" in unpacked(200)
    assert "does not say" in unpacked(0)
