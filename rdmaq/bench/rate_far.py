"""The receiving process of `rdmaq bench rate`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import rdmaq
from rdmaq._fast import ffi, lib
from rdmaq.bench import quiet
from rdmaq.bench.in_c import check, reader_of
from rdmaq.bench.plain import PlainRing

#: How many batches one poll may join: as in a consumer that takes what is there.
BATCHES_PER_POLL = 16
_MESSAGES_PER_POLL = 8192


class Far(quiet.Far):
    """Reads what the parent publishes. Each method returns when it had everything, by the clock."""

    def __init__(
        self, *, name: str, batch: int, capacity_bytes: int, plain_fd: int, words_fd: int
    ) -> None:
        super().__init__(words_fd=words_fd)
        peer = rdmaq.connect(f"local:{name}")
        self._typed = peer.subscribe("records", on_gap="raise")
        self._untyped = peer.subscribe("messages", on_gap="raise")
        self._count_max = BATCHES_PER_POLL * batch
        self._into = np.zeros(self._count_max, dtype=self._typed.schema)

        self._batch = batch
        self._plain = PlainRing(
            plain_fd,
            capacity_bytes=capacity_bytes,
            message_bytes=batch * self._into.itemsize,
        )

    def poll_into(self, message_count: int) -> int:
        """Copies into one array, again and again."""
        poll, into, count_max, received = self._typed.poll, self._into, self._count_max, 0
        while received < message_count:
            received += len(_some(poll(max_messages=count_max, into=into)))
        return time.perf_counter_ns()

    def poll(self, message_count: int) -> int:
        """Takes a fresh array from each poll."""
        poll, count_max, received = self._typed.poll, self._count_max, 0
        while received < message_count:
            received += len(_some(poll(max_messages=count_max)).data)
        return time.perf_counter_ns()

    def view(self, message_count: int) -> int:
        """Borrows frame after frame; looks at the last record of each."""
        view, count_max, received = self._typed.view, self._count_max, 0
        while received < message_count:
            with view(max_messages=count_max) as batch:
                data = _some(batch).data
                received += len(data)
        return time.perf_counter_ns()

    def drain_in_c(self, message_count: int) -> int:
        """Copies into the same array, in C."""
        out = ffi.from_buffer("uint8_t *", self._into, require_writable=True)
        check(
            lib.rq_bench_drain(
                reader_of(self._typed), out, self._into.nbytes, self._count_max, message_count
            )
        )
        return time.perf_counter_ns()

    def drain_plainly(self, message_count: int) -> int:
        """Copies into the same array, out of the plainest ring there is."""
        self._plain.read(self._into, message_count // self._batch)
        return time.perf_counter_ns()

    def poll_messages(self, message_count: int) -> int:
        """Takes messages in large batches, payloads in one piece."""
        poll, received = self._untyped.poll, 0
        while received < message_count:
            received += len(_some(poll(max_messages=_MESSAGES_PER_POLL)))
        return time.perf_counter_ns()

    def close(self) -> None:
        """Ends both subscriptions."""
        self._typed.close()
        self._untyped.close()
        self._plain.close()
        super().close()


def _some(batch: Any) -> Any:
    """Without a timeout a poll always returns a batch."""
    assert batch is not None
    return batch
