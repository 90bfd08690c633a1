"""A publisher's NIC writes a replica of its ring by chains, and the ring's own reader reads that.

The NIC is a thread whose stores become visible as the allow-list promises: the words of one WRITE
in any order (relaxed), and nothing of a WRITE before all of the one before it. What the source
holds meanwhile is `protecting`'s, other platforms are `crediting`'s, failures are `resuming`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program
from tests.model.reading import M2, E, G, H, M, Reader, World, all_done, peek_frame
from tests.model.ring import END, Frame, Publisher, Shape, after, payload_of
from tests.model.steps import RELAXED, RELEASE, fence, store

FRAMES = (M, M2, H, M, G, M, H, H, H, M2, M2, E)
# How many frames each chain takes: what was published meanwhile goes as the next, larger one.
ONE_EACH = (1,) * len(FRAMES)
COALESCED = (1, 2, 2, 1, 3, 1, 2)


class Link(NamedTuple):
    """What does not change in a run."""

    world: World
    plan: tuple[int, ...]

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.world.shape.has(mutation)


class Chain(NamedTuple):
    """What one doorbell posts: words in the replica, then its tail."""

    words: tuple[tuple[int, Any], ...]  # position and word
    tail: int
    sequence: int  # of its first frame


def chains_of(link: Link) -> list[Chain]:
    """Cut the frames into chains, each from a frame's beginning to a frame's end."""
    publisher, frames = Publisher(link.world.shape.capacity), list(link.world.frames)
    chains = []
    for count in link.plan:
        first, words = publisher, []
        for frame in frames[:count]:
            words += words_of(publisher, frame)
            publisher = after(publisher, frame)
        del frames[:count]
        tail = publisher.tail
        if link.has("tail_by_reference"):  # fetched late: more was published by then
            tail += sum(frame.words for frame in frames[:1])
        elif link.has("cut_in_a_frame"):  # at `guard` words, wherever that is
            tail = min(tail, first.tail + link.world.shape.guard - 1)
        chains.append(Chain(tuple(words), tail, first.next_sequence))
    assert not frames
    return chains


def words_of(publisher: Publisher, frame: Frame) -> list[tuple[int, Any]]:
    """A frame as it stands in the publisher's ring."""
    sequence = publisher.next_sequence - (frame.kind == END)
    words = [publisher.tail, (sequence, *frame), *payload_of(publisher, frame)]
    return [(publisher.tail + at, word) for at, word in enumerate(words)]


def write_chains(link: Link, number: int) -> Program:
    """What was posted first is executed first (IBTA volume 1: RC keeps the order of WRITEs)."""
    chains = chains_of(link)
    if number == len(chains):
        return None
    is_long = link.has("coalesced_past_guard") or link.has("data_past_guard")
    posted = chains[number : number + (2 if is_long else 1)]
    tails = [chain.tail for chain in posted]
    if link.has("coalesced_past_guard"):
        tails = tails[-1:]
    if link.has("tail_before_data"):
        yield store("tail", tails[0], RELEASE, "(NIC)")
    for chain in posted:
        yield from write_data(link, chain)
    if not link.has("tail_before_data"):
        order = RELAXED if link.has("writes_unordered") else RELEASE
        for tail in tails:  # 8 bytes, inline: what it was when it was posted
            yield store("tail", tail, order, "(NIC)")
    for chain in posted:
        yield from note_in_index(link, chain)
    return write_chains, (link, number + len(posted))


def write_data(link: Link, chain: Chain) -> Program:
    """One WRITE, or two at the wrap: its bytes in any order."""
    if not link.has("writes_unordered"):
        yield fence(RELEASE, "(NIC)")  # none of it before the tail's WRITE that precedes it
    for position, word in chain.words:
        yield store(link.world.shape.data(position), word, RELAXED, "(NIC)")
    return None


def note_in_index(link: Link, chain: Chain) -> Program:
    """The replica's owner notes where a chain began: a hint, so that it does not matter when."""
    shape, position = link.world.shape, chain.words[0][0]
    stride = position // shape.stride
    yield store(shape.index_word(stride, "position"), position, RELAXED, "(owner)")
    yield store(shape.index_word(stride, "sequence"), chain.sequence, RELAXED, "(owner)")
    return None


def scenario(
    mutation: str = "",
    *,
    plan: tuple[int, ...] = COALESCED,
    refusal_ends: bool = False,
) -> dict[str, Any]:
    """A replica of twenty-four words, lapped: frames of two to four words that wrap.

    The NIC runs first: it reads nothing of the replica's readers, and they may read all its older
    stores.
    """
    shape = Shape(capacity=24, guard=6, stride=6, mutation=mutation)
    world = World(shape, FRAMES, is_borrowing=False, refusal_ends=refusal_ends)
    link = Link(world, plan)
    programs: dict[str, Call] = {
        "NIC": (write_chains, (link, 0)),
        "reader": (peek_frame, (world, Reader(shape.capacity))),
    }
    return {
        "initial": shape.memory() | {"origin_sequence": 1},
        "programs": programs,
        "first": "NIC",
        "may_stop": all_done,
    }
