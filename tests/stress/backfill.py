"""What a subscriber who fetches a million messages costs the others: their latency beside it.

    scripts/stress backfill --messages 1e6 --rounds 8

In a rig, a publisher sends one record every few milliseconds behind a long history; one subscriber
at the other end of the wire takes each with its latency. Now and then another subscriber comes,
fetches all of the history, and goes. Its fetching is compared, round by round, with as long a time
in which it checks as many records of its own memory, and with as long a quiet time; the noise is
how much two halves of the quiet time differ. Every record of the history is checked. Under
emulation all of it shares two CPUs, the NICs' work included, and who checks takes one of them: so
only against the checking alone does it show what the READs cost others.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # who forks has one thread

import numpy as np

import rdmaq
from rdmaq.rig.fixtures import RdmaWire
from tests.stress._in_rig import in_rig

_RECORD = np.dtype([("sequence", "<u8"), ("sent_ns", "<u8"), ("check", "<u8"), ("more", "<u8")])
_STREAM, _PORT = "s", 7472
_INSECURE = rdmaq.Credentials(insecure=True)
_PERIOD_SECONDS = 0.005
_SAMPLES_MAX, _ROUNDS_MAX = 1 << 18, 64
_SECONDS_MAX = 120.0
_BATCH = 8192
_FACTOR = 0x9E3779B97F4A7C15
#: Shared by all: who is ready, whether to stop; samples (sent, latency); rounds: when the fetch
#: began, and when it, the checking alone and the quiet time ended.
_SHARED = np.dtype(
    [
        ("ready", "<u8"), ("stop", "<u8"), ("sample_count", "<u8"), ("round_count", "<u8"),
        ("samples", "<u8", (_SAMPLES_MAX, 2)), ("rounds", "<u8", (_ROUNDS_MAX, 4)),
    ]
)  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; counts may be written 1e6."""
    parser = argparse.ArgumentParser(
        prog="scripts/stress backfill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    count = {"type": lambda text: int(float(text))}
    parser.add_argument("--messages", default=1_000_000, **count)  # type: ignore[arg-type]
    parser.add_argument("--rounds", default=8, **count)  # type: ignore[arg-type]
    parser.add_argument("--here", action="store_true", help="no rig: this machine's own devices")
    return parser.parse_args(arguments)


def _records(first: int, count: int) -> np.ndarray:
    records = np.zeros(count, _RECORD)
    records["sequence"] = np.arange(first, first + count, dtype="<u8")
    records["check"] = records["sequence"] * np.uint64(_FACTOR)
    return records


def _publish(shared: np.ndarray, wire: RdmaWire, message_count: int) -> None:
    capacity = 1 << (message_count * _RECORD.itemsize * 9 // 8).bit_length()
    with (
        rdmaq.Node(f"{wire.left.address}:{_PORT}", credentials=_INSECURE) as node,
        node.publish(_STREAM, _RECORD, capacity=capacity) as pub,
    ):
        while pub.next_sequence <= message_count:
            pub.send_batch(_records(pub.next_sequence, _BATCH))
        shared["ready"] = 1
        while not shared["stop"]:
            record = _records(pub.next_sequence, 1)
            record["sent_ns"] = time.monotonic_ns()
            pub.send_batch(record)
            time.sleep(_PERIOD_SECONDS)


def _subscribed(wire: RdmaWire, start: str) -> rdmaq.Subscription:
    with rdmaq.connect(
        f"{wire.left.address}:{_PORT}",
        credentials=_INSECURE,
        transport="verbs",
        interface=wire.right.interface,
        timeout=60,
    ) as peer:
        return peer.subscribe(_STREAM, _RECORD, start=start)  # type: ignore[arg-type]


def _sample(shared: np.ndarray, wire: RdmaWire) -> None:
    with _subscribed(wire, "live") as sub:
        while not shared["stop"]:
            try:
                batch = sub.poll(1.0)
            except rdmaq.EndOfStream:
                assert shared["stop"], "the stream ended under the one who is measured"
                return
            now_ns = time.monotonic_ns()
            if batch is None or shared["sample_count"] == _SAMPLES_MAX:
                continue
            assert batch.gap is None, f"the one who is measured lost {batch.gap}"
            sent_ns = int(batch.data["sent_ns"][-1])
            at = int(shared["sample_count"])
            shared["samples"][at] = sent_ns, now_ns - sent_ns
            shared["sample_count"] = at + 1


def _fetch(shared: np.ndarray, wire: RdmaWire, message_count: int) -> None:
    """Comes, fetches, checks, goes; then checks alone; then leaves the others alone."""
    next_sequence = 1
    with _subscribed(wire, "oldest") as sub:
        begin_ns = time.monotonic_ns()  # a connection is dear where CPUs are emulated
        while next_sequence <= message_count:
            batch = sub.poll(60.0, max_messages=_BATCH)
            assert batch is not None, f"nothing came behind {next_sequence}: {sub.events()}"
            assert batch.gap is None, f"lost {batch.gap}"
            assert batch.sequence == next_sequence
            _check(batch.data, next_sequence)
            next_sequence += len(batch)
        end_ns = time.monotonic_ns()
    own = _records(1, _BATCH)
    while (alone_ns := time.monotonic_ns()) < 2 * end_ns - begin_ns:
        _check(own.copy(), 1)
    time.sleep((end_ns - begin_ns) / 1e9)
    at = int(shared["round_count"])
    shared["rounds"][at] = begin_ns, end_ns, alone_ns, time.monotonic_ns()
    shared["round_count"] = at + 1


def _check(records: np.ndarray, first: int) -> None:
    expected = _records(first, len(records))
    assert (records["sequence"] == expected["sequence"]).all()
    assert (records["check"] == expected["check"]).all()


def _fork(what: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            what()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def _measured(options: argparse.Namespace) -> np.ndarray:
    from rdmaq.rig.devices import local_devices
    from rdmaq.rig.fixtures import wire_of
    from rdmaq.verbs.library import load

    load()
    wire = wire_of(local_devices())
    shared: np.ndarray = np.frombuffer(mmap.mmap(-1, _SHARED.itemsize), _SHARED)[0]
    pids = [_fork(lambda: _publish(shared, wire, options.messages))]
    try:
        deadline = time.monotonic() + _SECONDS_MAX
        while not shared["ready"]:
            assert time.monotonic() < deadline, "the history was not published in time"
            time.sleep(0.05)
        pids.append(_fork(lambda: _sample(shared, wire)))
        while shared["sample_count"] < 100:
            assert time.monotonic() < deadline, "nothing came to the one who is measured"
            time.sleep(0.05)
        for _ in range(options.rounds):
            assert os.waitpid(_fork(lambda: _fetch(shared, wire, options.messages)), 0)[1] == 0
        shared["stop"] = 1
        while pids:
            assert os.waitpid(pids.pop(), 0)[1] == 0, "publisher or reader failed"
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return shared


def report(samples: np.ndarray, rounds: np.ndarray) -> dict[str, object]:
    """Medians of latency in us, and what they are divided by each other, round by round."""
    medians, noise = [], []
    for begin, end, alone_end, quiet_end in rounds:
        half = alone_end + (quiet_end - alone_end) // 2
        edges = ((begin, end), (end, alone_end), (alone_end, quiet_end))
        halves = ((alone_end, half), (half, quiet_end))
        first, second = (_median_us(samples, *edge) for edge in halves)
        medians.append([_median_us(samples, *edge) for edge in edges])
        noise.append(first / second)
    fetching, checking, quiet = np.array(medians).T
    low, middle, high = statistics.quantiles(fetching / checking)
    return {
        "latency_us_fetching": np.round(fetching).tolist(),
        "latency_us_checking_alone": np.round(checking).tolist(),
        "latency_us_quiet": np.round(quiet).tolist(),
        "fetching_to_checking": {
            "median": round(middle, 2),
            "quartiles": [round(low, 2), round(high, 2)],
        },
        "fetching_to_quiet": round(statistics.median(fetching / quiet), 2),
        "noise": {"least": round(min(noise), 2), "most": round(max(noise), 2)},
        "seconds_of_a_fetch": [round((end - begin) / 1e9, 1) for begin, end, *_ in rounds],
        "is_within_noise": bool(min(noise) <= middle <= max(noise)),
    }


def _median_us(samples: np.ndarray, begin_ns: int, end_ns: int) -> float:
    is_inside = (samples[:, 0] >= begin_ns) & (samples[:, 0] < end_ns)
    return float(np.median(samples[is_inside, 1])) / 1000


def main(arguments: list[str] | None = None) -> int:
    """Prints one JSON object; 0 when all was right, whatever the figures say."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if not options.here:
        return in_rig("tests.stress.backfill", arguments)
    with tempfile.TemporaryDirectory(prefix="rq-") as folder:
        os.environ["RDMAQ_RUNTIME_DIR"] = folder
        shared = _measured(options)
    samples = shared["samples"][: int(shared["sample_count"])].astype(np.int64)
    rounds = shared["rounds"][: int(shared["round_count"])].astype(np.int64)
    print(json.dumps({"messages": options.messages, **report(samples, rounds)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
