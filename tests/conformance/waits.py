"""Every call of the library that can wait for long, each brought to the point where it does."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import rdmaq
from tests.conformance.rig import TICK, Link, claim, message_of, ticks_of
from tests.conformance.test_full import NEVER_SECONDS, fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One call that waits for ever.

    Attributes:
        call: waits, on the thread that calls it.
        within: names of functions; one of them is on the stack of who waits, and of nobody else. Or
            what tells that somebody is inside a call that is written in C.
        handle: whose `close()` must end the wait.
        go_on: lets the wait, or a call like it after an interrupt, come to its good end.
    """

    call: Callable[[], Any]
    within: tuple[str, ...] | Callable[[], object]
    handle: Any
    go_on: Callable[[], object]

    def is_inside(self, thread_id: int | None) -> bool:
        """Whether that thread is where it waits."""
        if callable(self.within):
            return bool(self.within())
        frame = sys._current_frames().get(thread_id or -1)
        while frame is not None:
            if frame.f_code.co_name in self.within:
                return True
            frame = frame.f_back
        return False


def _reading(how: str, wait: str = "auto") -> Callable[[Link], Wait]:
    def make(link: Link) -> Wait:
        typed = how == "into typed"
        pub = link.publish(schema=TICK if typed else None)
        sub = link.subscribe(wait=wait)

        def view() -> object:
            with sub.view(None) as batch:
                return batch

        async def read() -> object:
            return await anext(aiter(sub))

        calls: dict[str, Callable[[], object]] = {
            "poll": lambda: sub.poll(None),
            "into": lambda: sub.poll(None, into=bytearray(100)),
            "into typed": lambda: sub.poll(None, into=np.zeros(4, TICK)),
            "batches": lambda: next(iter(sub)),
            "view": view,
            "async for": lambda: asyncio.run(read()),
        }
        slow = {"view": ("_borrow",), "async for": ("select",)}
        return Wait(
            call=calls[how],
            within=slow.get(how, lambda: sub._is_inside),
            handle=sub,
            go_on=lambda: pub.send_batch(ticks_of(1, 1)) if typed else pub.send(b"x"),
        )

    return make


def _sending(how: str) -> Callable[[Link], Wait]:
    def make(link: Link) -> Wait:
        typed = how == "send_batch"
        flow = rdmaq.reliable(timeout=NEVER_SECONDS)
        pub = link.publish(schema=TICK if typed else None, flow=flow)
        sub = link.subscribe()
        if typed:
            pub.send_batch(ticks_of(1, (link.transport.room_bytes - 9000) // TICK.itemsize))
        else:
            fill(pub, link.transport.room_bytes)
            while sub.lag < link.transport.room_bytes - 64:  # even a heartbeat has to wait
                pub.send(b"")
                link.settle()
        message = message_of(1, 2).ljust(4000)
        calls: dict[str, Callable[[], object]] = {
            "send": lambda: pub.send(message),
            "send_batch": lambda: pub.send_batch(ticks_of(1, 10_000)),
            "send_many": lambda: pub.send_many([message, message]),
            "blocks": lambda: pub.send_many(rdmaq.MessageBlocks(b"\0\1a" * 9, 9)),
            "send_gap": lambda: pub.send_gap(pub.next_sequence, pub.next_sequence),
            "heartbeat": lambda: [pub.heartbeat() for _ in range(3)],
            "claim": lambda: claim(pub, message),
        }

        return Wait(call=calls[how], within=("_wait",), handle=pub, go_on=sub.close)

    return make


def _subscribing(link: Link) -> Wait:
    return Wait(
        call=lambda: link.subscribe("later", timeout=NEVER_SECONDS),
        within=("taken", "dial"),  # over shared memory, over verbs
        handle=link.peer,
        go_on=lambda: link.publish("later"),
    )


def _dialling(link: Link) -> Wait:
    """The node went away after the peer was made; a new one of its name comes."""
    link.node.close()
    nodes: list[rdmaq.Node] = []

    def come_back() -> None:
        if not nodes:
            nodes.append(link.keep(link.transport.node_at(link.address)))
            nodes[0].publish("s", capacity=link.transport.capacity_bytes)

    return Wait(
        call=lambda: link.subscribe("s", timeout=NEVER_SECONDS),
        within=("dial",),
        handle=link.peer,
        go_on=come_back,
    )


#: What waits for messages, for room in the ring, and for the other side.
READING: dict[str, Callable[[Link], Wait]] = {
    **{f"poll {wait}": _reading("poll", wait) for wait in ("auto", "sleep", "yield", "spin")},
    **{how: _reading(how) for how in ("into", "into typed", "batches", "view", "async for")},
}
SENDING: dict[str, Callable[[Link], Wait]] = {
    how: _sending(how)
    for how in ("send", "send_batch", "send_many", "blocks", "send_gap", "heartbeat", "claim")
}
FINDING: dict[str, Callable[[Link], Wait]] = {
    "subscribe, no stream": _subscribing,
    "subscribe, no node": _dialling,
}
WAITS = {**READING, **SENDING, **FINDING}


def main_thread_id() -> int | None:
    return threading.main_thread().ident
