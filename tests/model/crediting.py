"""WRITE_WITH_IMM under receive credits: the receiver's CPU stores the tail.

Nothing is said about the order in which WRITEs become visible, not even from one chain to the
next: only that all is there when the receiver has the completion. The sender's own completion says
nothing about the tail, so a chain's bytes count against the guard until its credit is back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Violation
from tests.model.plain import Ring, read
from tests.model.reading import all_done
from tests.model.steps import (
    ACQUIRE,
    RELAXED,
    RELEASE,
    choose,
    fence,
    ghost,
    load,
    set_ghost,
    store,
    until,
)

GENERATION = 2


class Link(NamedTuple):
    """What does not change in a run."""

    ring: Ring
    chain_words: tuple[int, ...]
    receives: int  # posted, and told, before the link began

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.ring.has(mutation)

    def tail_after(self, chain_count: int) -> int:
        """The tail that so many chains lead to."""
        return self.ring.capacity + sum(self.chain_words[: max(chain_count, 0)])


def post_chain(link: Link, number: int, credits_seen: int) -> Program:
    """The sender: a chain begins with a credit in hand and with room below the guard."""
    if number == len(link.chain_words):
        return None
    if may_post(link, number, credits_seen):
        return execute_chain, (link, number, credits_seen)
    least = credits_seen + 1
    if link.has("starved_reads_nothing"):  # READs stand at the ends of chains only
        least = link.receives + len(link.chain_words) + 1
    # A READ of the receiver's word, again and again: of this link nothing else is going on.
    _, credits_seen = yield until(
        "credits",
        lambda word: word[1] >= least and is_ours(link, word),
        "rq_link_read_feedback",
    )
    return post_chain, (link, number, credits_seen)


def is_ours(link: Link, word: tuple[int, int]) -> bool:
    """take_credits: the word bears its link's generation."""
    return word[0] == GENERATION or link.has("stale_generation")


def may_post(link: Link, number: int, credits_seen: int) -> bool:
    """Tell whether the peer has a receive for it, and the guard has room for its bytes.

    Each credit beyond the first ones says that one more chain's tail was stored.
    """
    if credits_seen <= number and not link.has("credit_ignored"):
        return False
    told = number if link.has("window_by_completion") else credits_seen - link.receives
    return link.tail_after(number + 1) - link.tail_after(told) <= link.ring.guard


def execute_chain(link: Link, number: int, credits_seen: int) -> Program:
    """The NIC: data, then the receiver's completion, for which there must be a receive."""
    yield fence(RELEASE, "(NIC)")  # a WRITE is not seen before what let it be posted
    for position in range(link.tail_after(number), link.tail_after(number + 1)):
        yield store(link.ring.data(position), position, RELAXED, "(NIC)")
    receives = yield ghost("receives")
    if receives <= number:
        raise Violation(f"receive not ready: chain {number} finds {receives} posted in all")
    yield store("completed", number + 1, RELEASE, "(NIC)")
    word = yield load("credits", ACQUIRE, "take_credits")  # a READ at the end of each chain
    if is_ours(link, word):
        credits_seen = max(credits_seen, word[1])
    return post_chain, (link, number + 1, credits_seen)


def attach(link: Link) -> Program:
    """rq_replica_attach: receives, and the first credits; an earlier link's may stand there."""
    yield from post_receive(link.receives)
    yield store("credits", (GENERATION, link.receives), RELEASE, "rq_replica_attach")
    return receive, (link, 0)


def receive(link: Link, number: int) -> Program:
    """The replica's owner: completion, tail, receive, credit; in this order."""
    if number == len(link.chain_words):
        return None
    tail = link.tail_after(number + 1)  # out of the immediate
    if link.has("tail_before_completion"):
        yield store("tail", tail, RELEASE, "rq_replica_take_receives")
    yield until("completed", lambda count: count > number, "rq_replica_take_receives")
    if not link.has("tail_before_completion") and not link.has("credit_before_tail"):
        yield store("tail", tail, RELEASE, "rq_replica_take_receives")
    total = link.receives + number + 1
    if link.has("credit_before_receive"):
        yield store("credits", (GENERATION, total), RELEASE, "give_back")
    yield from post_receive(total)
    if link.has("credit_lost") and (yield choose((True, False), "give_back: is lost")):
        return receive, (link, number + 1)
    if not link.has("credit_before_receive"):
        yield store("credits", (GENERATION, total), RELEASE, "give_back")
    if link.has("credit_before_tail"):
        yield store("tail", tail, RELEASE, "rq_replica_take_receives")
    return receive, (link, number + 1)


def post_receive(total: int) -> Program:
    """ibv_post_recv: a step of its own, between any two of the sender."""
    yield choose((f"posts {total} in all",), "rq_pair_post_receives")
    yield set_ghost("receives", total)
    return None


def scenario(
    mutation: str = "",
    *,
    chain_words: tuple[int, ...] = (1, 1, 2, 2, 1, 2),
    receives: int = 2,
    is_first: bool = True,
) -> dict[str, Any]:
    """A replica of eight words with a guard of two, lapped by chains of one word or two."""
    capacity = 8
    ring = Ring(capacity, 2, capacity + sum(chain_words), mutation)
    link = Link(ring, chain_words, receives)
    programs: dict[str, Call] = {
        "sender, NIC": (post_chain, (link, 0, receives if is_first else 0)),
        "owner": (receive, (link, 0)) if is_first else (attach, (link,)),
        "reader": (read, (link.ring, capacity)),
    }
    told = (GENERATION, receives) if is_first else (GENERATION - 1, receives + 9)
    words = {"completed": 0, "credits": told, "receives": receives if is_first else 0}
    return {
        "initial": link.ring.memory() | words,
        "programs": programs,
        "may_stop": all_done,
    }
