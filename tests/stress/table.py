"""Reads a table from several processes while its owner updates it flat out.

    scripts/stress table --reads 1e7 --readers 4 --seconds 600
    rdmaq rig exec -- python -m tests.stress.table --host 10.77.0.1 --interface wire1 --reads 1e5

With --host the readers come over verbs, by that interface. Every word of a row follows from the row
and its version: a torn row cannot look whole. A reader also checks that it is never taken back in
time. Ends 0 when the laws held, 1 when not.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rdmaq

NAME = "stress"
ROWS = 64
WORDS = 25  # 200 bytes: four lines
ROW = np.dtype([("words", "<u8", (WORDS,))])
READY = b'"ready"'  # a reader's first line
READY_SECONDS_MAX = 180.0
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


def connect(address: str, interface: str) -> rdmaq.Peer:
    """Over verbs by an interface, or over shared memory; tries until the node has time for it."""
    options: dict[str, Any] = {}
    if interface:
        credentials = rdmaq.Credentials(insecure=True)
        options = {"credentials": credentials, "transport": "verbs", "interface": interface}
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            return rdmaq.connect(address, timeout=60, **options)
        except rdmaq.PeerNotFound:
            if time.monotonic() > deadline:
                raise


def read(address: str, reads: int, seconds: float, interface: str = "") -> dict[str, int]:
    """Reads whole tables until so many rows were read, and some of them changed, or for so long."""
    report = {"reads": 0, "torn": 0, "back_in_time": 0, "distinct": 0, "rereads": 0}
    with connect(address, interface) as peer, peer.table(NAME, timeout=60) as reader:
        sys.stdout.write(READY.decode() + "\n")
        sys.stdout.flush()
        if interface:
            os.nice(5)  # what moves a SoftRoCE packet runs before all programs: let the owner, too
        deadline = time.monotonic() + seconds
        seen = np.zeros(ROWS, np.uint64)
        # On a busy machine all of it may fit between two updates, and that would prove nothing.
        while (
            report["reads"] < reads or report["distinct"] <= ROWS
        ) and time.monotonic() < deadline:
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
    parser.add_argument("--host", default="", help="where the node listens, for readers over verbs")
    parser.add_argument("--interface", default="", help="by which those readers come")
    parser.add_argument("--as-readers", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run in a runtime folder of its own; returns what was read, seen and broken."""
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        kept = os.environ.get("RDMAQ_RUNTIME_DIR")
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        try:
            credentials = rdmaq.Credentials(insecure=True) if options.host else None
            address = f"{options.host}:0" if options.host else "local:stress"
            with rdmaq.Node(address, credentials=credentials) as node:
                return _run(node, options)
        finally:
            os.environ.pop("RDMAQ_RUNTIME_DIR")
            if kept is not None:
                os.environ["RDMAQ_RUNTIME_DIR"] = kept


def _run(node: rdmaq.Node, options: argparse.Namespace) -> dict[str, Any]:
    table = offer(node)
    share = -(-options.reads // options.readers)
    program = [sys.executable, "-m", "tests.stress.table", "--as-readers", node.address]
    program += ["--reads", str(share), "--seconds", str(options.seconds)]
    program += ["--readers", str(options.readers), "--interface", options.interface]
    with subprocess.Popen(
        program, cwd=_ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as readers:
        assert readers.stdout is not None
        try:
            told = await_ready(readers.stdout.fileno(), options.readers)
            began = time.monotonic()
            is_over = lambda: readers.poll() is not None  # noqa: E731
            updates = update(table, seconds=options.seconds + 60, is_over=is_over)
            seconds = time.monotonic() - began
        finally:
            with suppress(ProcessLookupError):
                os.killpg(readers.pid, signal.SIGKILL)
        told += readers.stdout.read()
    reports = [json.loads(line) for line in told.splitlines() if line != READY]
    return {
        "updates": updates,
        "reads": sum(report["reads"] for report in reports),
        "seconds": round(seconds, 3),
        "readers": reports,
        "faults": judge(reports, options.readers, share),
    }


def await_ready(pipe: int, count: int) -> bytes:
    """Waits until so many readers hold the table, while nothing else keeps this process busy.

    Returns what they wrote.
    """
    told, deadline = b"", time.monotonic() + READY_SECONDS_MAX
    while told.splitlines().count(READY) < count and time.monotonic() < deadline:
        if select.select([pipe], [], [], 1.0)[0]:
            part = os.read(pipe, 1 << 16)
            if not part:
                break
            told += part
    return told


def read_in_processes(options: argparse.Namespace) -> None:
    """Each reader is a process of its own, forked before it opens anything; a line for each."""
    children = []
    for _ in range(options.readers):
        child = os.fork()
        if child == 0:
            report = read(options.as_readers, options.reads, options.seconds, options.interface)
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def judge(reports: list[dict[str, int]], readers: int, share: int) -> list[str]:
    """What broke a law, in words."""
    faults = []
    if len(reports) < readers:
        faults.append(f"{readers - len(reports)} readers told nothing: their words stand above")
    for number, report in enumerate(reports):
        faults += [
            f"reader {number}: {report[kind]:,} rows {kind}"
            for kind in ("torn", "back_in_time")
            if report[kind]
        ]
        if report["reads"] < share:
            faults.append(f"reader {number}: {report['reads']:,} reads of {share:,} in time")
        if report["distinct"] <= ROWS:
            faults.append(f"reader {number}: saw no row change: the run proves nothing")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; returns the exit status."""
    options = parse(arguments)
    if options.as_readers:
        read_in_processes(options)
        return 0
    result = run(options)
    print(json.dumps(result, indent=2))
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
