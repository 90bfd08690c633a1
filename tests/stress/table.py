"""Reads a table from several processes while its owner updates it flat out.

    scripts/stress table --reads 1e7 --readers 4 --seconds 600

Every word of a row follows from the row and its version: a torn row cannot look whole. A reader
also checks that it is never taken back in time. Ends 0 when the laws held, 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rdmaq

NAME = "stress"
ROWS = 64
WORDS = 25  # 200 bytes: four lines
ROW = np.dtype([("words", "<u8", (WORDS,))])
_ROOT = Path(__file__).parents[2]
_FACTORS = np.arange(1, WORDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)


def offer(node: rdmaq.Node) -> rdmaq.Table:
    """The table of the run."""
    return node.table(NAME, ROW, rows=ROWS)


def rows_at(versions: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    """What each row holds at a version."""
    rows = np.zeros(len(versions), ROW)
    seeds = versions * np.uint64(ROWS) + np.arange(len(versions), dtype=np.uint64)
    rows["words"] = np.where(versions[:, None] == 0, 0, seeds[:, None] * _FACTORS)
    return rows


def torn_count(rows: npt.NDArray[Any], versions: npt.NDArray[np.uint64]) -> int:
    """How many rows are not what was written as their version."""
    return int((rows["words"] != rows_at(versions)["words"]).any(axis=1).sum())


def update(table: rdmaq.Table, *, seconds: float, is_over: Any = lambda: False) -> int:
    """Updates all rows again and again; returns how many rows were updated."""
    deadline = time.monotonic() + seconds
    version = 0
    while time.monotonic() < deadline and not is_over():
        for _ in range(100):
            version += 1
            table.update(..., rows_at(np.full(ROWS, version, np.uint64)))
    return version * ROWS


def read(address: str, reads: int, seconds: float) -> dict[str, int]:
    """Reads whole tables until so many rows were read."""
    deadline = time.monotonic() + seconds
    report = {"reads": 0, "torn": 0, "back_in_time": 0, "distinct": 0, "rereads": 0}
    with rdmaq.connect(address, timeout=60) as peer, peer.table(NAME, timeout=60) as reader:
        seen = np.zeros(ROWS, np.uint64)
        while report["reads"] < reads and time.monotonic() < deadline:
            rows, versions = reader.read_versioned(timeout=30.0)
            report["reads"] += len(rows)
            report["torn"] += torn_count(rows, versions)
            report["back_in_time"] += int((versions < seen).sum())
            report["distinct"] += int((versions > seen).sum())
            seen = versions
        report["rereads"] = reader.rereads
    return report


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e6."""
    parser = argparse.ArgumentParser(prog="scripts/stress table", description=__doc__)
    parser.add_argument("--reads", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600.0, help="at most so long")
    parser.add_argument("--as-reader", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run in a runtime folder of its own; returns what was read, seen and broken."""
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        kept = os.environ.get("RDMAQ_RUNTIME_DIR")
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        try:
            with rdmaq.Node("local:stress") as node:
                return _run(node, options)
        finally:
            os.environ.pop("RDMAQ_RUNTIME_DIR")
            if kept is not None:
                os.environ["RDMAQ_RUNTIME_DIR"] = kept


def _run(node: rdmaq.Node, options: argparse.Namespace) -> dict[str, Any]:
    table = offer(node)
    share = -(-options.reads // options.readers)
    program = [sys.executable, "-m", "tests.stress.table", "--as-reader", "local:stress"]
    program += ["--reads", str(share), "--seconds", str(options.seconds)]
    readers = [
        subprocess.Popen(program, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(options.readers)
    ]
    began = time.monotonic()
    try:
        all_ended = lambda: all(reader.poll() is not None for reader in readers)  # noqa: E731
        updates = update(table, seconds=options.seconds + 60, is_over=all_ended)
        seconds = time.monotonic() - began
        reports = [json.loads(reader.communicate()[0]) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    return {
        "updates": updates,
        "reads": sum(report["reads"] for report in reports),
        "seconds": round(seconds, 3),
        "readers": reports,
        "faults": judge(reports, share),
    }


def judge(reports: list[dict[str, int]], share: int) -> list[str]:
    """What broke a law, in words."""
    faults = []
    for number, report in enumerate(reports):
        faults += [
            f"reader {number}: {report[kind]:,} rows {kind}"
            for kind in ("torn", "back_in_time")
            if report[kind]
        ]
        if report["reads"] < share:
            faults.append(f"reader {number}: {report['reads']:,} reads of {share:,} in time")
        if not report["distinct"]:
            faults.append(f"reader {number}: saw no update: the run proves nothing")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; returns the exit status."""
    options = parse(arguments)
    if options.as_reader:
        print(json.dumps(read(options.as_reader, options.reads, options.seconds)))
        return 0
    result = run(options)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
