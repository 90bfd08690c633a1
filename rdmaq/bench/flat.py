"""Whether a message's price depends on how many there were: batches, by powers of ten."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from itertools import repeat

import numpy as np

import rdmaq
from rdmaq.bench.children import Child
from rdmaq.bench.options import Place
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rate import RECORD
from rdmaq.bench.rounds import Contender, Sample

#: The smallest number of messages, and those of one batch: 10^3.
DECADE_MIN = 3
_BATCH = 10**DECADE_MIN
_MESSAGES_MIN = 10**8  # a round of small numbers repeats them until it sent so many
_STREAM = "records"


class Near:
    """The process that publishes, lossily, to one subscriber that reads what it can."""

    def __init__(self, stack: ExitStack, *, name: str, capacity: str) -> None:
        node = stack.enter_context(rdmaq.Node(f"local:{name}"))
        self._publisher = node.publish(_STREAM, RECORD, capacity=capacity)
        self._records = np.zeros(_BATCH, dtype=RECORD)
        self.watch = stack.enter_context(Watch())
        self.child = stack.enter_context(
            Child(
                "rdmaq.bench.flat_far",
                fds=(self.watch.fd,),
                name=name,
                stream=_STREAM,
                words_fd=self.watch.fd,
            )
        )
        self.watch.attach(self.child)

    def contenders(self, decades: int) -> list[Contender]:
        """One for each power of ten."""
        return [
            Contender(key=f"e{n}", title=f"10^{n} messages", run=partial(self._round, 10**n))
            for n in range(DECADE_MIN, decades + 1)
        ]

    def _round(self, count: int) -> Sample:
        """What all repeats took together, divided by their messages: interruptions weigh alike."""
        repeats = max(1, _MESSAGES_MIN // count)
        self.child.start("drain", message_count=repeats * count)
        send, records = self._publisher.send_batch, self._records
        began_ns = time.perf_counter_ns()
        for _ in repeat(None, repeats):
            for _ in repeat(None, count // _BATCH):
                send(records)
        elapsed_ns = time.perf_counter_ns() - began_ns
        self.child.finish()
        return {"publisher_ns": elapsed_ns / (repeats * count)}


def prepare(
    stack: ExitStack, place: Place, *, decades: int, capacity: str
) -> tuple[Near, list[Contender]]:
    """The sequences go on from number to number and from round to round."""
    near = Near(stack, name=place.name, capacity=capacity)
    return near, near.contenders(decades)
