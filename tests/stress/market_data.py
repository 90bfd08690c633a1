"""Publishes a feed in one virtual machine to four subscribers in another, over ever worse wires.

    scripts/stress market_data --loss 0,2,5,10 --seed 1

The feed is the real capture beside the checkout (../shared/data), else, or with --messages,
synthetic lines of that seed. Each way to publish meets each loss once, and once the plug is pulled
and put back while the feed goes on. Ends 0 when every subscriber
got every message that the lines had, in order, and was told exactly what they lost; else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rdmaq.rig import breaking, lifecycle
from rdmaq.rig.host_tests import kernel_complaints
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.shadows import shadows_of
from rdmaq.rig.state import State
from tests.rdma.fan_out import FeedTruth, captured, fan_out, faults, synthetic

_ROOT = Path(__file__).parents[2]
_DATA = _ROOT.parent / "shared" / "data"
_MESSAGES = 59_602  # as the capture has
_SECONDS_MAX = 900.0
_COALESCE = ["--coalesce", "4096"]  # a chain costs a millisecond where devices are emulated
# The feed fills the reliable stream's ring many times. The lossy stream's holds all of it, since
# what is gone from there nobody can recover; and its publisher waits for who is still at that.
_HOLDING_ALL = ["--capacity", "4MiB", "--drain", "300", *_COALESCE]
# The plug is out for longer than the retries take, and not for so long that nobody asks any more.
_CUT_SECONDS = 12.0
_CUT_AT_PACKETS = 3000
_WAYS: dict[str, tuple[list[str], list[str]]] = {
    "reliable": (["--reliable", "--timeout", "120", "--capacity", "256KiB", *_COALESCE], []),
    "recover": (_HOLDING_ALL, ["--on-gap", "recover"]),
    "cut": (_HOLDING_ALL, ["--on-gap", "recover"]),
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/stress market_data", description=__doc__)
    parser.add_argument("--loss", default="0,2,5,10", help="per cent of all packets, each in turn")
    parser.add_argument("--way", choices=sorted(_WAYS), help="this one only")
    parser.add_argument("--messages", type=int, help="synthetic lines, of so many")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def _feed(options: argparse.Namespace) -> FeedTruth:
    if options.messages is None and _DATA.is_dir():
        return captured(_DATA)
    return synthetic(options.messages or _MESSAGES, options.seed)


def _cut(rig: State) -> None:
    """Unplugs the subscribers' machine once data flows, and plugs it in again."""

    def sent() -> int:
        return breaking.counters(rig, 0)["hw.sent_pkts"]

    before, deadline = sent(), time.monotonic() + _SECONDS_MAX
    while sent() < before + _CUT_AT_PACKETS:
        if time.monotonic() > deadline:
            return  # nothing flows: the outcome tells why
        time.sleep(1.0)
    breaking.break_node(rig, 1, "unplug")
    time.sleep(_CUT_SECONDS)
    breaking.heal(rig, 1)


def _run(rig: State, feed: FeedTruth, way: str, loss_percent: int) -> dict[str, Any]:
    publishing, subscribing = _WAYS[way]
    began = time.monotonic()
    outcome = fan_out(
        rig,
        feed,
        publishing=publishing,
        subscribing=subscribing,
        loss_percent=loss_percent,
        seconds_max=_SECONDS_MAX,
        meanwhile=(lambda: _cut(rig)) if way == "cut" else lambda: None,
    )
    found = faults(feed, outcome)
    if loss_percent and not outcome.dropped:
        found.append("the wire lost nothing")
    if way == "cut" and not all(report["backfilled"] for report in outcome.heard):
        found.append("nobody had to read what the wire did not bring")
    result = {
        "way": way,
        "loss_percent": loss_percent,
        "seconds": round(time.monotonic() - began, 1),
        "packets_dropped": outcome.dropped,
        "messages": [report["messages"] for report in outcome.heard],
        "lost_upstream": [report["lost_messages"] for report in outcome.heard],
        "links": [report["links"] for report in outcome.heard],
        "backfilled": [report["backfilled"] for report in outcome.heard],
        "stalls": [session["stalls"] for session in outcome.said.get("sessions", ())],
        "faults": found,
    }
    print(json.dumps(result), file=sys.stderr, flush=True)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; returns the exit status."""
    options = parse(arguments)
    # Told to end, as by timeout(1), it takes its machines down as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    feed = _feed(options)
    wish = Wish(
        name=f"stress-{os.getpid()}", checkout=_ROOT, node_count=2, shadows=shadows_of(_ROOT)
    )
    rig = lifecycle.up(wish)
    try:
        ways = [options.way] if options.way else _WAYS
        losses = [int(loss) for loss in options.loss.split(",")]
        results = [
            _run(rig, feed, way, loss)
            for way in ways
            for loss in (losses if way != "cut" else [0])  # healing mends all of a wire
        ]
        complaints = [line for node in (0, 1) for line in kernel_complaints(rig, node)]
    finally:
        lifecycle.down(wish.name)
    report = {"feed": feed.words, "seed": options.seed, "kernel": complaints, "runs": results}
    print(json.dumps(report, indent=2))
    return 1 if complaints or any(result["faults"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
