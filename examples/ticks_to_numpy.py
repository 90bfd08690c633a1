"""Ticks from another process arrive as numpy arrays: the average price of each symbol so far."""

import multiprocessing

import numpy as np

import rdmaq

TICK = np.dtype([("ts", "<u8"), ("symbol", "<u4"), ("price", "<i8"), ("size", "<u4")])
SYMBOLS, BATCHES = 4, 500
ADDRESS = "local:exchange"


def publish(address: str) -> None:
    """Sends half a million ticks, a thousand at a time: one crossing into C for each thousand."""
    random, ticks = np.random.default_rng(7), np.zeros(1_000, TICK)
    flow = rdmaq.reliable(min_readers=1)  # begins when somebody reads
    with rdmaq.Node(address) as node, node.publish("ticks", TICK, flow=flow) as publisher:
        for number in range(BATCHES):
            ticks["ts"] = np.arange(number * 1_000, number * 1_000 + 1_000)
            ticks["symbol"] = random.integers(0, SYMBOLS, len(ticks))
            ticks["price"] = 100 + ticks["symbol"] + random.integers(-5, 6, len(ticks))
            ticks["size"] = random.integers(1, 100, len(ticks))
            publisher.send_batch(ticks)


if __name__ == "__main__":
    multiprocessing.Process(target=publish, args=(ADDRESS,)).start()
    value, volume = np.zeros(SYMBOLS), np.zeros(SYMBOLS)
    with rdmaq.connect(ADDRESS, timeout=30).subscribe("ticks", TICK, timeout=30) as ticks:
        for batch in ticks.batches(max_messages=8_192):
            data = batch.data  # dtype TICK, read-only
            value += np.bincount(data["symbol"], data["price"] * data["size"], SYMBOLS)
            volume += np.bincount(data["symbol"], data["size"], SYMBOLS)
    print(f"{ticks.stats.messages:,} ticks in {ticks.stats.batches:,} batches")
    print("average prices:", np.round(value / volume, 2))
