"""One reader process of the stress run: checks every record and every gap, and reports as JSON.

python -m tests.stress._ring_reader ADDRESS STREAM SEED
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict, dataclass

import rdmaq
from tests.stress._ring_records import RECORD, torn_count

_IDLE_SECONDS_MAX = 60.0


@dataclass
class Report:
    """What one reader saw; `doubled` and `undeclared` count breaks of the sequence law."""

    received: int = 0
    lost_upstream: int = 0
    lost_overrun: int = 0
    gaps: int = 0
    torn: int = 0
    doubled: int = 0
    undeclared: int = 0
    views_overrun: int = 0
    next_sequence: int = 1

    def expect(self, sequence: int) -> None:
        """The law: everything goes on where the last thing ended."""
        self.doubled += max(0, self.next_sequence - sequence)
        self.undeclared += max(0, sequence - self.next_sequence)

    def take(self, batch: rdmaq.Batch) -> None:
        """Books one batch or gap."""
        if batch.gap is not None:
            self.expect(batch.gap.first)
            self.gaps += 1
            if batch.gap.cause == "upstream":
                self.lost_upstream += batch.gap.count
            else:
                self.lost_overrun += batch.gap.count
            self.next_sequence = batch.gap.last + 1
            return
        self.expect(batch.sequence)
        self.torn += torn_count(batch.data, batch.sequence)
        self.received += len(batch)
        self.next_sequence = batch.sequence + len(batch)


def read(subscription: rdmaq.Subscription, seed: int) -> Report:
    """Polls and borrows in random sizes until the stream ends."""
    dice, report = random.Random(seed), Report()
    while True:
        size = dice.choice((1, 7, 100, 1024, 4096))
        try:
            if dice.random() < 0.2:
                borrow(subscription, size, report)
                continue
            batch = subscription.poll(_IDLE_SECONDS_MAX, max_messages=size)
        except rdmaq.EndOfStream:
            return report
        if batch is None:
            raise TimeoutError(f"nothing came for {_IDLE_SECONDS_MAX} s")
        report.take(batch)


def borrow(subscription: rdmaq.Subscription, size: int, report: Report) -> None:
    """A view's findings count only when it was given back intact."""
    booked = asdict(report)
    try:
        with subscription.view(_IDLE_SECONDS_MAX, max_messages=size) as batch:
            if batch is not None:
                report.take(batch)
    except rdmaq.ViewOverrun:
        for name, value in booked.items():
            setattr(report, name, value)
        report.views_overrun += 1


def main() -> None:
    address, stream, seed = sys.argv[1:]
    with (
        rdmaq.connect(address, timeout=_IDLE_SECONDS_MAX) as peer,
        peer.subscribe(stream, RECORD) as subscription,
    ):
        report = read(subscription, int(seed))
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    main()
