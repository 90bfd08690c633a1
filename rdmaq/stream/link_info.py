"""What a publisher tells of its links to subscribers on other hosts: `Publisher.links()`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """One link, which writes one subscriber's replica: what is true of it now, and its counts.

    Attributes:
        peer: address of the subscriber's device.
        queue_pair: ours.
        peer_queue_pair: its.
        generation: of the subscription's links, this one: 1 is its first.
        state: "opening" (not confirmed yet), "live", "lagging" (behind by more than a quarter of
            the capacity), "failed" (the subscriber is told, and asks for the next one) or "closed".
        cause: why it failed, in words; "" for one that did not.
        tail: how the subscriber learns how far its replica is written: "write" or "imm".
        depth: chains that may be in flight.
        lag_bytes: published, and not known to have arrived.
        lag_bytes_max: the most that this was.
        chains: sent: what was published while one was in flight goes as the next.
        writes: requests in them, and heartbeats.
        reads: requests for credits and cursors.
        bytes: of the ring that were sent.
        heartbeats: sent.
        credits: receives that the subscriber is known to have ready for "imm"; None with "write",
            which needs none.
        starved: times that published bytes waited for credits or for the guard.
        stalls: times that a send found this link in its way.
    """

    peer: str
    queue_pair: int
    peer_queue_pair: int
    generation: int
    state: str
    cause: str
    tail: str
    depth: int
    lag_bytes: int
    lag_bytes_max: int
    chains: int
    writes: int
    reads: int
    bytes: int
    heartbeats: int
    credits: int | None
    starved: int
    stalls: int
