"""Streams over verbs under stress: dense records past readers at the other end of a wire in a rig.

    scripts/stress streams --messages 1e6 --blows 100 --rounds 10 --seed 1

Publisher and readers are killed with -9 and started again, stopped and resumed; ports go down and
come up, packets are lost, the publisher bursts. All of it at random, and the seed, printed, makes
the same choices again. The law, checked in C for every record by books that lie outside of who is
killed: received + declared = published, nothing torn, doubled or undeclared; after each blow every
reader moves on, and the longest time that this took is printed. In the end nothing is left on the
devices, and the guest's kernel has not complained. Ends 0 when all held, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # who forks has one thread

from tests.stress._board import Board
from tests.stress._in_rig import in_rig
from tests.stress._streams_judge import judge
from tests.stress._streams_plan import KINDS, StreamRound, plan

_OBJECTS_SECONDS_MAX = 20.0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e6."""
    parser = argparse.ArgumentParser(
        prog="scripts/stress streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--messages", type=_count, default=1_000_000, help="in all rounds together")
    parser.add_argument("--blows", type=_count, default=50, help="in all rounds together")
    parser.add_argument("--rounds", type=_count, default=5)
    parser.add_argument("--kind", choices=KINDS, action="append", help="of blows; default: all")
    parser.add_argument("--seed", type=int, default=None, help="default: at random, and printed")
    parser.add_argument("--round", type=int, default=None, help="only the one of that number")
    parser.add_argument("--events", action="store_true", help="what readers are told, on stderr")
    parser.add_argument("--here", action="store_true", help="no rig: this machine's own devices")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    return int(float(text))


def _play(board: Board, chosen: StreamRound) -> tuple[dict[str, Any], list[str]]:
    """One round in a runtime folder of its own; its figures, and its faults."""
    from rdmaq.rig.devices import local_devices
    from rdmaq.rig.fixtures import wire_of
    from tests.rdma.ends import census
    from tests.stress._streams_killer import StreamKiller

    board.clear()
    before = census().objects
    folder = Path(tempfile.mkdtemp(prefix="rq-"))
    os.environ["RDMAQ_RUNTIME_DIR"] = os.fspath(folder)
    began = time.monotonic()
    tally = StreamKiller(board, chosen, wire_of(local_devices()), folder).run()
    verdict = judge(board, chosen)
    faults = [*tally.faults, *verdict.faults]
    while (left := census().objects) != before:  # the kernel ends a killed one's by and by
        if time.monotonic() > began + _OBJECTS_SECONDS_MAX:
            faults.append(f"left on the devices: {left}, and {before} before")
            break
        time.sleep(0.2)
    shutil.rmtree(folder)
    figures = {
        **{name: value for name, value in asdict(verdict).items() if name != "faults"},
        "blows": dict(tally.blows),
        "seconds_max": tally.seconds_max,
        "seconds": round(time.monotonic() - began, 1),
    }
    return figures, faults


def play(options: argparse.Namespace) -> int:
    """Plays the rounds, a line of JSON for each and one for all; returns the exit status."""
    from rdmaq.verbs.library import load

    if options.events:
        os.environ["RDMAQ_STRESS_EVENTS"] = "1"
    load()  # and what it takes to dial: so that who is forked need not
    from rdmaq.bootstrap import client, server  # noqa: F401

    seed = random.randrange(1 << 31) if options.seed is None else options.seed
    kinds = tuple(options.kind or KINDS)
    rounds = plan(seed, options.messages, options.blows, options.rounds, kinds)
    print(json.dumps({"seed": seed, "round_count": len(rounds)}), flush=True)
    board, sums, blows, faults = Board(), Counter[str](), Counter[str](), list[str]()
    longest: dict[str, float] = {}
    for number, chosen in enumerate(rounds):
        if options.round not in (None, number):
            continue
        figures, found = _play(board, chosen)
        sums.update({name: count for name, count in figures.items() if isinstance(count, int)})
        blows.update(figures["blows"])
        for kind, seconds in figures["seconds_max"].items():
            longest[kind] = max(seconds, longest.get(kind, 0.0))
        told = {"round": number, "what": chosen.name, **figures, "faults": found}
        print(json.dumps(told), flush=True)
        faults += found
    total = {"seed": seed, **sums, "blows": blows, "seconds_max": longest}
    print(json.dumps({**total, "fault_count": len(faults)}), flush=True)
    return 1 if faults else 0


def main(arguments: list[str] | None = None) -> int:
    """Brings a rig up, unless told to stay here; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    return play(options) if options.here else in_rig("tests.stress.streams", arguments)


if __name__ == "__main__":
    sys.exit(main())
