"""The ring under stress: messages with checksums past readers, and kill -9 at random points.

    scripts/stress ring --messages 1e8 --kills 1e4 --seed 1 [--flow lossy] [--readers 8]

Rounds of lossy and of reliable flow, with 1 to 8 readers; messages (per flow) and kills (in all)
are shared out equally. In each round readers are stopped and resumed, publisher and readers killed
and started again, at random. The law, checked in C for every message: received + declared =
published, nothing torn, doubled or undeclared. Then rounds with lossy readers at a pace that they
can keep: each receives more than 99 %. Nothing may be left behind: no process, descriptor, file or
memory. Ends 0 when all held, 1 when not. The seed, printed, makes the same choices again.
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

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # who forks has one thread

from tests.stress._board import LINES_MAX, Board, lib
from tests.stress._judge import judge
from tests.stress._killer import Killer
from tests.stress._leftovers import Holdings, machine_shared_kib, sockets_below
from tests.stress._plan import FlowName, Round, paced_rounds, plan

_FLOWS: tuple[FlowName, ...] = ("lossy", "reliable")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e6."""
    parser = argparse.ArgumentParser(
        prog="scripts/stress ring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--messages", type=_count, default=10_000_000, help="for each flow")
    parser.add_argument("--kills", type=_count, default=1000, help="in all rounds together")
    parser.add_argument("--flow", choices=_FLOWS, action="append", help="default: both")
    parser.add_argument("--readers", type=int, default=LINES_MAX, help="at most so many a round")
    parser.add_argument("--seed", type=int, default=None, help="default: at random, and printed")
    parser.add_argument("--pace", type=_count, default=1_000_000, help="of paced rounds, per s")
    parser.add_argument("--paced", type=_count, default=None, help="messages: default a tenth")
    parser.add_argument("--round", type=int, default=None, help="only the one of that number")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    return int(float(text))


def _play(board: Board, chosen: Round) -> tuple[dict[str, int | float], list[str]]:
    """One round in a runtime folder of its own; its figures, and its faults."""
    board.clear()
    before = Holdings.of_self()
    folder = Path(tempfile.mkdtemp(prefix="rq-"))
    os.environ["RDMAQ_RUNTIME_DIR"] = os.fspath(folder)
    began = time.monotonic()
    tally = Killer(board, chosen, folder).run()
    verdict = judge(board, chosen)
    faults = [*tally.faults, *verdict.faults]
    if not faults:
        faults += [f"file left behind: {path.name}" for path in folder.iterdir()]
        faults += [f"socket left behind: {path}" for path in sockets_below(folder)]
        try:
            before.check("the parent of all")
        except AssertionError as error:
            faults.append(str(error))
    shutil.rmtree(folder)
    figures = {
        **{k: v for k, v in asdict(verdict).items() if k != "faults"},
        **{k: v for k, v in asdict(tally).items() if k != "faults"},
        "seconds": round(time.monotonic() - began, 2),
    }
    return figures, faults


def main(arguments: list[str] | None = None) -> int:
    """Plays the rounds, a line of JSON for each and one for all; returns the exit status."""
    options = parse(arguments)
    seed = random.randrange(1 << 31) if options.seed is None else options.seed
    flows = tuple(options.flow or _FLOWS)
    paced = options.messages // 10 if options.paced is None else options.paced
    rounds = plan(
        seed, flows, options.messages * len(flows), options.kills, min(options.readers, LINES_MAX)
    )
    if "lossy" in flows and paced:
        rounds += paced_rounds(seed, paced, options.pace, min(options.readers, LINES_MAX))
    print(json.dumps({"seed": seed, "round_count": len(rounds)}), flush=True)
    lib.board_adopt_orphans()
    board, sums, faults = Board(), Counter[str](), list[str]()
    shared_kib = machine_shared_kib()
    for number, chosen in enumerate(rounds):
        if options.round not in (None, number):
            continue
        figures, found = _play(board, chosen)
        sums.update({name: count for name, count in figures.items() if isinstance(count, int)})
        told = {"round": number, "what": chosen.name, **figures, "faults": found}
        print(json.dumps(told), flush=True)
        faults += found
    shared = {"shared_kib_before": shared_kib, "shared_kib_behind": machine_shared_kib()}
    print(json.dumps({"seed": seed, **sums, **shared, "fault_count": len(faults)}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
