"""A link's counts and state, out of C, in the words that users read."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from rdmaq._fast import lib
from rdmaq.sessions.link_terms import LinkTerms
from rdmaq.stream.link_info import LinkInfo
from rdmaq.verbs.failure import MEANINGS, PairFacts

_STATES = {
    lib.RQ_LINK_OPENING: "opening",
    lib.RQ_LINK_LIVE: "live",
    lib.RQ_LINK_LAGGING: "lagging",
    lib.RQ_LINK_FAILED: "failed",
    lib.RQ_LINK_CLOSED: "closed",
}
_CAUSES = {
    lib.RQ_LINK_CAUSE_LAGGED: "it was behind by more than half the capacity: the subscriber's host "
    "or the way there is slower than what is published; use more capacity, or reliable flow",
    lib.RQ_LINK_CAUSE_STALLED: "it was in the way for longer than the stream's time-out: the "
    "subscriber does not read; see reliable(timeout=)",
    lib.RQ_LINK_CAUSE_NONSENSE: "what the subscriber's side says of itself cannot be; is it the "
    "same release?",
    lib.RQ_LINK_CAUSE_STOPPED: "it was ended, by its subscriber or with the stream",
    lib.RQ_LINK_CAUSE_OVERDUE: "the device completed nothing for longer than all retries take; "
    "look at the kernel log",
}


def link_info(stats: Any, pair: PairFacts, terms: LinkTerms) -> LinkInfo:
    """Makes the facts of one link.

    Args:
        stats: its `struct rq_link_stats`.
        pair: of its queue pair.
        terms: what holds for it.
    """
    in_hand = int(stats.credits_granted - stats.credits_used)
    return LinkInfo(
        peer=pair.remote,
        queue_pair=pair.qp_num,
        peer_queue_pair=pair.remote_qp_num,
        generation=int(stats.generation),
        state=_STATES[stats.state],
        cause=cause(stats),
        tail=terms.tail,
        depth=terms.depth,
        lag_bytes=int(stats.lag_bytes),
        lag_bytes_max=int(stats.lag_bytes_max),
        chains=int(stats.chains),
        writes=int(stats.writes),
        reads=int(stats.reads),
        bytes=int(stats.bytes),
        heartbeats=int(stats.heartbeats),
        # Two words, read one after the other.
        credits=min(max(in_hand, 0), terms.credits) if terms.tail == "imm" else None,
        starved=int(stats.starved),
        stalls=int(stats.stalls),
    )


def packed(stats: Any) -> int:
    """Its cause as a number, for who is told of its end: cause, status and vendor error."""
    return int(stats.cause) | int(stats.status) << 8 | int(stats.vendor_error) << 24


def unpacked(word: int) -> str:
    """The same in words; what is not told, or of a later release, is told as that."""
    if word == 0:
        return "it does not say why"
    vendor_error = word >> 24 & 0xFFFF_FFFF
    return cause(
        SimpleNamespace(cause=word & 0xFF, status=word >> 8 & 0xFFFF, vendor_error=vendor_error)
    )


def cause(stats: Any) -> str:
    """Why it failed, in words; "" for a link that did not."""
    if stats.cause == 0:
        return ""
    if stats.cause == lib.RQ_LINK_CAUSE_COMPLETION:
        unknown = ("a request failed for a reason that no standard names", "see its vendor's words")
        why, cure = MEANINGS.get(stats.status, unknown)
        return f"{why} (status {stats.status}, vendor error {stats.vendor_error:#x}); {cure}"
    if stats.cause == lib.RQ_LINK_CAUSE_REFUSED:
        return f"the device refused a request: {os.strerror(stats.status)}; look at the kernel log"
    return _CAUSES.get(stats.cause, f"cause {stats.cause}, which is unknown here")
