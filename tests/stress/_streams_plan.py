"""What a seed decides of `scripts/stress streams`: the rounds, and what befalls each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import rdmaq
from tests.stress._board import LINES_MAX

Kind = Literal[
    "kill publisher", "kill reader", "stop publisher", "stop reader", "flap", "loss", "burst"
]
KINDS: tuple[Kind, ...] = (
    "kill publisher", "kill reader", "stop publisher", "stop reader", "flap", "loss", "burst",
)  # fmt: skip
#: A reliable publisher's timeout that nobody needs.
PATIENT_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One thing that befalls a round.

    Attributes:
        kind: what.
        line: whom, of the readers.
        seconds: how long a stop, a flap or the loss lasts; before a kill's next start, else.
        end: the interface that goes down: 0 the publisher's, 1 the readers', 2 both.
    """

    kind: Kind
    line: int
    seconds: float
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLine:
    """How one line's readers read: `seed` is of their sizes.

    Attributes:
        joins: where the next reader begins: with what is published from then on, where the last one
            left off, or at a random sequence between that and the newest.
        recovers: what a failed link did not bring is read out of the publisher's ring.
        follows: a restart of the publisher, by itself; else by subscribing again.
    """

    seed: int
    is_async: bool
    tail: Literal["write", "imm"]
    joins: Literal["live", "there", "anywhere"]
    recovers: bool
    follows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRound:
    """One publisher at one end of the wire, and its readers at the other.

    Attributes:
        message_count: at least so many are published.
        blows: in this order; messages are shared out between them.
    """

    seed: int
    flow: Literal["lossy", "reliable"]
    message_count: int
    lines: tuple[StreamLine, ...]
    blows: tuple[Blow, ...]
    record_bytes: int
    capacity_bytes: int

    def make_flow(self) -> rdmaq.Flow:
        """For `Node.publish`."""
        if self.flow == "lossy":
            return rdmaq.lossy()
        return rdmaq.reliable(timeout=PATIENT_SECONDS)

    @property
    def name(self) -> str:
        """For a person: what was special about it."""
        tails = "/".join(sorted({line.tail for line in self.lines}))
        return (
            f"{self.flow}, {len(self.lines)} readers by {tails}, records of {self.record_bytes} B, "
            f"{self.capacity_bytes >> 10} KiB"
        )


def _blow(dice: random.Random, kind: Kind, line_count: int) -> Blow:
    longest = {"flap": 3.0, "loss": 1.0, "stop publisher": 4.0, "stop reader": 4.0}.get(kind, 0.5)
    return Blow(
        kind=kind,
        line=dice.randrange(line_count),
        seconds=round(dice.random() ** 2 * longest, 3),
        end=dice.randrange(3),
    )


def plan(
    seed: int, message_count: int, blow_count: int, round_count: int, kinds: tuple[Kind, ...]
) -> list[StreamRound]:
    """Rounds of one to four readers; every kind comes as often as any other."""
    dice = random.Random(seed)
    bag: list[Kind] = []
    rounds = []
    for number in range(round_count):
        line_count = 1 + dice.randrange(min(4, LINES_MAX))
        count = blow_count * (number + 1) // round_count - blow_count * number // round_count
        blows = []
        for _ in range(count):
            if not bag:
                bag = list(kinds)
                dice.shuffle(bag)
            blows.append(_blow(dice, bag.pop(), line_count))
        lines = tuple(
            StreamLine(
                seed=dice.randrange(1 << 31),
                is_async=dice.random() < 0.25,
                tail=dice.choice(("write", "write", "imm")),
                joins=dice.choice(("live", "there", "anywhere", "anywhere")),
                recovers=dice.random() < 0.5,
                follows=dice.random() < 0.5,
            )
            for _ in range(line_count)
        )
        rounds.append(
            StreamRound(
                seed=dice.randrange(1 << 31),
                flow="reliable" if dice.random() < 0.25 else "lossy",
                message_count=message_count // round_count,
                lines=lines,
                blows=tuple(blows),
                record_bytes=dice.choice((16, 24, 32)),
                capacity_bytes=dice.choice((64 << 10, 256 << 10, 1 << 20)),
            )
        )
    return rounds
