"""How many records or messages a second go from one process to another."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import repeat

import numpy as np

import rdmaq
from rdmaq._fast import ffi, lib, parse_bytes
from rdmaq.bench.children import Child
from rdmaq.bench.in_c import check
from rdmaq.bench.options import Place
from rdmaq.bench.plain import PlainRing, make_area
from rdmaq.bench.quiet import Watch
from rdmaq.bench.rounds import Contender, Sample

RECORD = np.dtype(
    [("time", "<u8"), ("id", "<u8"), ("price", "<i8"), ("size", "<u4"), ("is", "<u4")]
)
#: What the table is about, and what is held against it.
HEADLINE, BARE_C, FRESH, SINGLE = "batch_into", "c_copy", "batch_copy", "single"
PLAIN_C = "plain_c"
#: Messages of one `send_many`.
MANY = 64
_STALL_SECONDS = 10.0


class Near:
    """The process that publishes. The clock is CLOCK_MONOTONIC, the same in both processes."""

    def __init__(
        self, stack: ExitStack, *, name: str, capacity: str, batch: int, message_bytes: int
    ) -> None:
        node = stack.enter_context(rdmaq.Node(f"local:{name}"))
        flow = rdmaq.reliable(min_readers=1, timeout=_STALL_SECONDS)
        self._typed = node.publish("records", RECORD, capacity=capacity, flow=flow)
        self._untyped = node.publish("messages", capacity=capacity, flow=flow)
        self._records = np.zeros(batch, dtype=RECORD)
        self._records["id"] = np.arange(batch)
        self._message = bytes(i % 251 for i in range(message_bytes))
        capacity_bytes = parse_bytes(capacity)
        area = make_area(stack, capacity_bytes)
        self._plain = PlainRing(
            area, capacity_bytes=capacity_bytes, message_bytes=self._records.nbytes
        )
        stack.callback(self._plain.close)
        self.watch = stack.enter_context(Watch())
        self.child = stack.enter_context(
            Child(
                "rdmaq.bench.rate_far",
                fds=(self.watch.fd, area),
                name=name,
                batch=batch,
                capacity_bytes=capacity_bytes,
                plain_fd=area,
                words_fd=self.watch.fd,
            )
        )
        self.watch.attach(self.child)

    def contenders(self, batch_count: int, message_count: int) -> list[Contender]:
        """Who takes part, and how much each sends in a round."""
        dense = [
            (HEADLINE, "send_batch -> poll(into=)", self._send_batches, "poll_into"),
            (BARE_C, "the same ring in C, copied out", self._send_in_c, "drain_in_c"),
            (PLAIN_C, "plain slots in C, nothing else", self._send_plainly, "drain_plainly"),
            (FRESH, "send_batch -> poll, fresh arrays", self._send_batches, "poll"),
            ("batch_view", "send_batch -> view, borrowed", self._send_batches, "view"),
        ]
        small: list[tuple[str, str, Callable[[int], None]]] = [
            (SINGLE, "send, one bytes object", self._send_single),
            ("many", f"send_many, lists of {MANY}", self._send_many),
            ("blocks", f"send_many, MessageBlocks of {MANY}", self._send_blocks),
        ]
        found = [
            Contender(key=key, title=title, run=partial(self._dense, send, far, batch_count))
            for key, title, send, far in dense
        ]
        found += [
            Contender(key=key, title=title, run=partial(self._small, send, message_count))
            for key, title, send in small
        ]
        return found

    # ---- a round ------

    def _dense(self, send: Callable[[int], None], far: str, batch_count: int) -> Sample:
        messages = batch_count * len(self._records)
        return self._round(send, far, batch_count, messages, RECORD.itemsize)

    def _small(self, send: Callable[[int], None], count: int) -> Sample:
        return self._round(send, "poll_messages", count, count, len(self._message))

    def _round(
        self, send: Callable[[int], None], far: str, count: int, messages: int, each_bytes: int
    ) -> Sample:
        """From the first send to the last message's arrival."""
        self.child.start(far, message_count=messages)
        began_ns = time.perf_counter_ns()
        send(count)
        sent_ns = time.perf_counter_ns()
        ended_ns = self.child.finish()
        rate = messages / (ended_ns - began_ns) * 1e9
        return {
            "per_second": rate,
            "bytes_per_second": rate * each_bytes,
            "publisher_ns": (sent_ns - began_ns) / messages,
        }

    def _send_batches(self, count: int) -> None:
        send, records = self._typed.send_batch, self._records
        for _ in repeat(None, count):
            send(records)

    def _send_in_c(self, count: int) -> None:
        pointer = ffi.from_buffer("uint8_t *", self._records)
        check(
            lib.rq_bench_publish(
                self._typed.handle, pointer, len(self._records), RECORD.itemsize, count
            )
        )

    def _send_plainly(self, count: int) -> None:
        self._plain.write(self._records, count)

    def _send_single(self, count: int) -> None:
        send, message = self._untyped.send, self._message
        for _ in repeat(None, count):
            send(message)

    def _send_many(self, count: int) -> None:
        send, messages = self._untyped.send_many, [self._message] * MANY
        for _ in repeat(None, count // MANY):
            send(messages)

    def _send_blocks(self, count: int) -> None:
        send = self._untyped.send_many
        one = len(self._message).to_bytes(2, "big") + self._message
        blocks = rdmaq.MessageBlocks(one * MANY, MANY)
        for _ in repeat(None, count // MANY):
            send(blocks)


def prepare(
    stack: ExitStack,
    place: Place,
    *,
    batch: int,
    batches: int,
    message_bytes: int,
    messages: int,
    capacity: str,
) -> tuple[Near, list[Contender]]:
    """Nothing is lost, for the streams are reliable."""
    near = Near(stack, name=place.name, capacity=capacity, batch=batch, message_bytes=message_bytes)
    return near, near.contenders(batches, messages // MANY * MANY)
