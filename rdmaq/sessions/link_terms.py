"""What two sides' settings of one link come to: of each thing the lesser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdmaq.bootstrap.messages import LinkAsk, LinkGrant
    from rdmaq.verbs.failure import PairFacts
    from rdmaq.verbs.link_settings import LinkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTerms:
    """What holds for a link.

    Attributes:
        tail: "write" or "imm".
        credits: receives for "imm"; 0 with "write".
        depth: chains that may be in flight; 0: the publisher does not say.
    """

    tail: str
    credits: int
    depth: int


def terms_at_publisher(settings: LinkSettings, ask: LinkAsk) -> LinkTerms:
    """The publisher's settings and what a subscriber asks for.

    An older subscriber, who offers no receives for it, cannot be made to take "imm".
    """
    depth = min(settings.depth, ask.depth or settings.depth)
    offered = ask.credit_count or ask.receive_count_max
    is_imm = ask.tail_mode == "imm" or (settings.tail == "imm" and offered != 0)
    if not is_imm:
        return LinkTerms(tail="write", credits=0, depth=depth)
    return LinkTerms(tail="imm", credits=min(settings.credits, offered), depth=depth)


def terms_at_subscriber(grant: LinkGrant, ask: LinkAsk) -> LinkTerms:
    """What the node granted of what was asked."""
    tail = grant.tail_mode or ask.tail_mode
    receives = (grant.credit_count or ask.credit_count) if tail == "imm" else 0
    return LinkTerms(tail=tail, credits=receives, depth=grant.depth)


def less_than_asked(terms: LinkTerms, ask: LinkAsk) -> str:
    """What of it the publisher's settings took away, in words; "" where nothing."""
    less = []
    if terms.tail != ask.tail_mode:
        less.append(f"tails by {terms.tail} instead of {ask.tail_mode}")
    elif terms.credits < ask.credit_count:
        less.append(f"{terms.credits} receives instead of {ask.credit_count}")
    if 0 < terms.depth < ask.depth:
        less.append(f"{terms.depth} chains in flight instead of {ask.depth}")
    return f"the publisher's settings allow {', '.join(less)}" if less else ""


def told(terms: LinkTerms, pair: PairFacts, generation: int) -> dict[str, str | int]:
    """What was agreed on, as `Subscription.negotiated()` says it."""
    return {
        "transport": "verbs",
        "device": pair.device,
        "gid": pair.local,
        "peer_gid": pair.remote,
        "queue_pair": pair.qp_num,
        "peer_queue_pair": pair.remote_qp_num,
        "mtu_bytes": pair.mtu_bytes,
        "generation": generation,
        "tail": terms.tail,
        "credits": terms.credits,
        "depth": terms.depth,
        "timers": pair.timers,
    }
