"""What several market-data tests use: captures of synthetic lines, and `rdmaq-md` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rdmaq_services.market_data.capture_write import write_capture
from rdmaq_services.market_data.lines import LineFaults, LossyLines
from rdmaq_services.market_data.synthetic import synthetic_packets

COMMAND = [sys.executable, "-P", "-m", "rdmaq_services.market_data"]
# Somewhat more than the real capture has, since its frames are smaller: a ring of 64 KiB is to wrap
# fifty times. The same three checks are made of both.
SYNTHETIC_MESSAGES = 80_000


class Lines(NamedTuple):
    """A capture of lossy lines and what is known of it."""

    capture: Path
    messages: int
    lost_both: list[list[int]]
    counts_by_type: dict[str, int]


@pytest.fixture(scope="session")
def synthetic_lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """A capture of two synthetic lines, 802.1Q-tagged and gzip."""
    path = tmp_path_factory.mktemp("lines") / "synthetic.pcap.gz"
    lines = LossyLines(synthetic_packets(SYNTHETIC_MESSAGES, 11), 11, LineFaults(loss=0.05))
    write_capture(path, lines, vlan=142)
    truth = lines.truth
    counts = truth.counts - truth.counts_lost
    return Lines(
        path,
        truth.messages,
        truth.lost["both"],
        {chr(kind): count for kind, count in counts.items()},
    )


@pytest.fixture(scope="session")
def real_lines(shared_data: Path) -> Lines:
    """The real capture; counts are the reference's less those of the lost messages."""
    truth = json.loads((shared_data / "moldudp64/esh4_ab_lossy.truth.json").read_text())
    reference = json.loads((shared_data / "itch50/esh4_20231225.counts.json").read_text())
    counts = dict(reference["own"]["counts"])
    kinds = _kinds_by_sequence(shared_data / "itch50/esh4_20231225.itch.gz")
    for first, last in truth["lost"]["both"]:
        for sequence in range(first, last + 1):
            counts[kinds[sequence - 1]] -= 1
    return Lines(
        shared_data / "moldudp64/esh4_ab_lossy.pcap.gz",
        truth["messages"],
        truth["lost"]["both"],
        {kind: count for kind, count in counts.items() if count},
    )


def _kinds_by_sequence(path: Path) -> str:
    import gzip

    data = gzip.decompress(path.read_bytes())
    kinds, offset = [], 0
    while offset < len(data):
        kinds.append(chr(data[offset + 2]))
        offset += 2 + int.from_bytes(data[offset : offset + 2], "big")
    return "".join(kinds)


@pytest.fixture
def rdmaq_md() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `rdmaq-md` to its end."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=100
        )

    return run


@pytest.fixture
def start_rdmaq_md() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `rdmaq-md`; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        # A shell lets what it runs in the background ignore Ctrl-C, and children inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
