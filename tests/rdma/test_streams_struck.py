"""Streams over verbs under blows: the short form of `scripts/stress streams`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rdmaq.rig.fixtures import RdmaWire
from tests.stress._streams_plan import KINDS

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(400)]

SEED = 9287
MESSAGES = 100_000


def test_received_and_declared_are_what_was_published_whatever_strikes(rdma_wire: RdmaWire) -> None:
    """One blow of each kind; books of every record lie outside of whom they strike.

    Publisher and readers are killed, stopped and started again, a port flaps, packets are lost.
    """
    words = ("--here", "--messages", MESSAGES, "--blows", len(KINDS), "--rounds", 1, "--seed", SEED)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.stress.streams", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(ended.stdout.splitlines()[-1])
    assert report["published"] >= MESSAGES
    assert report["incarnations"] > 1
    assert set(report["blows"]) == set(KINDS)
