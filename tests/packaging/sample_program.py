"""A user's program, checked by mypy --strict against the installed wheel (never run here)."""

from __future__ import annotations

import asyncio

import numpy as np

import rdmaq

Tick = np.dtype([("ts", "<u8"), ("price", "<i8")])


def publish(node: rdmaq.Node) -> int:
    with node.publish("ticks", Tick, flow=rdmaq.reliable(min_readers=1, timeout=5.0)) as publisher:
        first: int = publisher.send_batch(np.zeros(8, Tick))
        with publisher.claim(2) as area:
            area["price"] = 7
        return first + publisher.stats.messages


def consume(subscription: rdmaq.Subscription) -> list[rdmaq.Gap]:
    gaps: list[rdmaq.Gap] = []
    for batch in subscription.batches(max_messages=1024, timeout=1.0):
        if batch.gap is not None:
            gaps.append(batch.gap)
        else:
            print(batch.data["price"].sum(), batch.sequence, batch.time)
    return gaps


async def follow(address: str) -> None:
    try:
        with rdmaq.connect(address, timeout=1.0).subscribe("ticks", start="oldest") as subscription:
            async for batch in subscription:
                print(len(batch), batch.messages)
    except rdmaq.StreamNotFound as error:
        print(error)


if __name__ == "__main__":
    with rdmaq.Node("local:sample") as node:
        publish(node)
        asyncio.run(follow(node.address))
