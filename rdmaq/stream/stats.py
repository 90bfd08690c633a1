"""Counts that publishers and subscriptions report."""

from __future__ import annotations

from dataclasses import dataclass

from rdmaq.stream.link_info import LinkInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStats:
    """Counts since the stream began.

    Attributes:
        messages: published.
        bytes: payload bytes published, length prefixes and 16 for each gap included.
        frames: written, gap and heartbeat frames included.
        ring_bytes: bytes of the ring written, headers and padding included: divided by the
            capacity, how often it wrapped.
        gaps: upstream losses declared.
        stalls: times that a send had to wait: for readers (reliable flow), or for a NIC that was
            still to read what the send would have written over (`links` tells which).
        wakes: sleeping subscribers woken.
        readers: subscribers now.
        readers_cut_off: subscribers cut off so far.
        links: those to other hosts, as `Publisher.links()` tells them.
        link_skew_ns: with two links or more: from the first one's being served with what was
            published to the last one's, on average. Who is first changes from publish to publish.
        link_skew_ns_max: the most that this was.
    """

    messages: int
    bytes: int
    frames: int
    ring_bytes: int
    gaps: int
    stalls: int
    wakes: int
    readers: int
    readers_cut_off: int
    links: tuple[LinkInfo, ...] = ()
    link_skew_ns: float = 0.0
    link_skew_ns_max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStats:
    """Counts since the subscription began, over all epochs that it followed.

    The law: `messages + lost_upstream + lost_overrun` is what was published since it began.

    Attributes:
        messages: delivered.
        bytes: payload bytes delivered, without length prefixes.
        batches: returned with messages in them.
        frames: that these messages came in; one delivered in parts counts once a part.
        gaps_upstream: gaps whose cause lies before the publisher.
        gaps_overrun: gaps because this subscriber was slower than the ring is long.
        lost_upstream: messages in the former.
        lost_overrun: messages in the latter.
        wakes: times that it slept in C and woke.
        links: over verbs, as the rest: links that carried.
        replays: times that what was published before was READ out of the publisher's ring.
        reads: READs for that.
        read_bytes: that they fetched, or asked for.
        backfilled: messages that came so.
    """

    messages: int = 0
    bytes: int = 0
    batches: int = 0
    frames: int = 0
    gaps_upstream: int = 0
    gaps_overrun: int = 0
    lost_upstream: int = 0
    lost_overrun: int = 0
    wakes: int = 0
    links: int = 0
    replays: int = 0
    reads: int = 0
    read_bytes: int = 0
    backfilled: int = 0
