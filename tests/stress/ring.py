"""Floods a small ring past reader processes that check every byte and every sequence.

    scripts/stress ring --messages 1e8 --readers 3 --seconds 600 --seed 1

The publisher sends batches of random length and declares losses now and then; each reader polls
and borrows in random sizes. The law: received + declared = published; nothing torn, doubled or
undeclared. Ends 0 when it held, 1 when not; the same seed makes the same sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import rdmaq
from tests.stress._ring_records import RECORD, make

_ROOT = Path(__file__).parents[2]
_READY_SECONDS_MAX = 60.0
_BREAKS = ("torn", "doubled", "undeclared")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e6."""
    parser = argparse.ArgumentParser(prog="scripts/stress ring", description=__doc__)
    parser.add_argument("--messages", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--capacity", default="64KiB")
    parser.add_argument("--reliable", action="store_true", help="then nothing may be overrun")
    return parser.parse_args(arguments)


def publish(pub: rdmaq.Publisher, options: argparse.Namespace) -> None:
    """Random batches, flat out, and a loss upstream after one batch in a hundred."""
    dice = random.Random(options.seed)
    deadline = time.monotonic() + options.seconds
    per_frame = pub.message_bytes_max // RECORD.itemsize
    sizes = [dice.choice((1, 3, per_frame, 2 * per_frame + 1)) for _ in range(997)]
    turn = 0
    while pub.next_sequence <= options.messages and time.monotonic() < deadline:
        turn += 1
        first = pub.next_sequence
        pub.send_batch(make(first, sizes[turn % len(sizes)]))
        if turn % 100 == 0:
            first = pub.next_sequence
            pub.send_gap(first, first + dice.randrange(20))


def judge(published: int, reports: list[dict[str, Any]], *, is_reliable: bool) -> list[str]:
    """What broke the law, in words."""
    faults = []
    for number, report in enumerate(reports):
        accounted = report["received"] + report["lost_upstream"] + report["lost_overrun"]
        if accounted != published or report["next_sequence"] != published + 1:
            faults.append(f"reader {number}: {accounted:,} accounted of {published:,} published")
        if is_reliable and report["lost_overrun"]:
            faults.append(f"reader {number}: overrun in a reliable stream")
        faults += [f"reader {number}: {report[kind]:,} {kind}" for kind in _BREAKS if report[kind]]
    return faults


def start_reader(seed: int) -> subprocess.Popen[str]:
    """A process of tests.stress._ring_reader."""
    program = [sys.executable, "-m", "tests.stress._ring_reader", "local:stress", "ring", str(seed)]
    return subprocess.Popen(program, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run in a runtime folder of its own; returns what was published, seen and broken."""
    flow = rdmaq.reliable(timeout=_READY_SECONDS_MAX) if options.reliable else rdmaq.lossy()
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        with rdmaq.Node("local:stress") as node:
            pub = node.publish("ring", RECORD, capacity=options.capacity, flow=flow)
            readers = [start_reader(options.seed + i) for i in range(options.readers)]
            try:
                deadline = time.monotonic() + _READY_SECONDS_MAX
                while pub.reader_count < options.readers:
                    if time.monotonic() > deadline:
                        raise TimeoutError("the readers did not come")
                    time.sleep(0.01)
                began = time.monotonic()
                publish(pub, options)
                seconds = time.monotonic() - began
                published, stats = pub.next_sequence - 1, pub.stats
                pub.close()
                outputs = [reader.communicate()[0] for reader in readers]
            finally:
                for reader in readers:
                    reader.kill()
                    reader.wait()
    reports = [json.loads(output) for output in outputs]
    return {
        "published": published,
        "messages": stats.messages,
        "seconds": round(seconds, 3),
        "stalls": stats.stalls,
        "readers": reports,
        "faults": judge(published, reports, is_reliable=options.reliable),
    }


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; returns the exit status."""
    result = run(parse(arguments))
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
