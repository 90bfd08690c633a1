"""A pipeline of two stages, a process each: the slowest one sets the pace, and nothing is lost."""

import multiprocessing
import time

import numpy as np

import rdmaq

FLOW = rdmaq.reliable(min_readers=1, timeout=30)
NUMBERS, SQUARES = "local:numbers", "local:squares"


def square(inlet: str, outlet: str) -> None:
    """The first stage: squares each number and passes it on."""
    numbers = rdmaq.connect(inlet).subscribe("out")
    with numbers, rdmaq.Node(outlet) as node, node.publish("out", "<u8", flow=FLOW) as out:
        for batch in numbers:
            out.send_batch(batch.data**2)


def add(inlet: str) -> None:
    """The second stage: adds up what comes, slowly."""
    total = 0
    with rdmaq.connect(inlet, timeout=30).subscribe("out", timeout=30) as squares:
        for batch in squares:
            total += int(batch.data.sum())
            time.sleep(0.001)
    print(f"sum of {squares.stats.messages:,} squares: {total:,}")


if __name__ == "__main__":
    with rdmaq.Node(NUMBERS) as node, node.publish("out", "<u8", capacity=65536, flow=FLOW) as out:
        multiprocessing.Process(target=square, args=(NUMBERS, SQUARES)).start()
        multiprocessing.Process(target=add, args=(SQUARES,)).start()
        for first in range(1, 200_000, 1_000):
            out.send_batch(np.arange(first, first + 1_000, dtype="<u8"))
        print(f"sent {out.stats.messages:,}, waited {out.stats.stalls:,} times for room")
