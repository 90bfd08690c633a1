"""What a seed decides: the rounds of a stress run, and each one's choices."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import rdmaq

FlowName = Literal["lossy", "reliable"]
#: A reliable publisher's timeout that no reader may need; the other one cuts off who is stopped.
PATIENT_SECONDS = 60.0

Wait = Literal["auto", "spin", "yield", "sleep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePlan:
    """How one line's readers read: `seed` is of their sizes."""

    seed: int
    wait: Wait
    is_async: bool
    follows: bool  # a restart of the publisher: by itself, or by subscribing again


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One publisher and its readers, from an empty folder to an empty folder.

    Attributes:
        message_count: at least so many are published, gaps included.
        kill_count: so many processes are killed.
        is_typed: records, else messages of any length.
        patience_seconds: a reliable publisher's timeout.
        pace: messages a second; 0: flat out.
    """

    seed: int
    flow: FlowName
    message_count: int
    kill_count: int
    lines: tuple[LinePlan, ...]
    is_typed: bool
    capacity_bytes: int
    patience_seconds: float
    min_readers: int
    pace: int = 0

    def make_flow(self) -> rdmaq.Flow:
        """For `Node.publish`."""
        if self.flow == "lossy":
            return rdmaq.lossy()
        return rdmaq.reliable(min_readers=self.min_readers, timeout=self.patience_seconds)

    @property
    def name(self) -> str:
        """For a person: what was special about it."""
        kind = "records" if self.is_typed else "messages"
        pace = f", {self.pace:,}/s" if self.pace else ""
        flow: str = self.flow
        if flow == "reliable":
            flow += f" {self.patience_seconds:g} s, min {self.min_readers}"
        return f"{flow}, {len(self.lines)} readers, {kind}, {self.capacity_bytes >> 10} KiB{pace}"


def _lines(dice: random.Random, count: int, *, may_restart: bool) -> tuple[LinePlan, ...]:
    """Several spinning readers on few CPUs would only wait for each other."""
    waits: tuple[Wait, ...] = (
        ("auto", "sleep", "yield", "spin") if count == 1 else ("auto", "sleep")
    )
    return tuple(
        LinePlan(
            seed=dice.randrange(1 << 31),
            wait=dice.choice(waits),
            is_async=dice.random() < 0.25,
            follows=may_restart and dice.random() < 0.5,
        )
        for _ in range(count)
    )


def plan(
    seed: int, flows: tuple[FlowName, ...], message_count: int, kill_count: int, readers_max: int
) -> list[Round]:
    """Every flow with every number of readers; kills and messages are shared out equally."""
    dice = random.Random(seed)
    share = len(flows) * readers_max
    rounds: list[Round] = []
    for flow in flows:
        for number in range(readers_max):
            is_patient = dice.random() < 0.5
            rounds.append(
                Round(
                    seed=dice.randrange(1 << 31),
                    flow=flow,
                    message_count=message_count // share,
                    kill_count=kill_count * (len(rounds) + 1) // share
                    - kill_count * len(rounds) // share,
                    lines=_lines(dice, number + 1, may_restart=True),
                    is_typed=dice.random() < 0.7,
                    capacity_bytes=dice.choice((64 << 10, 1 << 20, 4 << 20)),
                    patience_seconds=PATIENT_SECONDS if is_patient else 0.005,
                    min_readers=dice.randrange(2),
                )
            )
    return rounds


def paced_rounds(seed: int, message_count: int, pace: int, readers_max: int) -> list[Round]:
    """Lossy readers at a pace that they can keep: 1, 2, 4 and 8 of them, none killed."""
    dice = random.Random(seed ^ 0x9ACE)
    counts = [count for count in (1, 2, 4, 8) if count <= readers_max]
    return [
        Round(
            seed=dice.randrange(1 << 31),
            flow="lossy",
            message_count=message_count // len(counts),
            kill_count=0,
            lines=_lines(dice, count, may_restart=False),
            is_typed=True,
            capacity_bytes=64 << 20,
            patience_seconds=0.0,
            min_readers=0,
            pace=pace,
        )
        for count in counts
    ]
