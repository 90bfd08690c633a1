"""`scripts/stress hostile`, kept short: its hostile readers do what they are said to do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_only_readers_that_ask_are_woken() -> None:
    """Three samples of each kind, two readers: wakes of the publisher's by its own count."""
    program = [sys.executable, "-m", "tests.stress.hostile", "--samples", "3", "--readers", "2"]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    rows = re.findall(r"^  (\w.*?) +\d+ \(\d+ to \d+\); +([\d,]+)$", done.stdout, re.MULTILINE)
    wakes = {kind: int(count.replace(",", "")) for kind, count in rows}
    assert list(wakes) == [
        "do nothing",
        "ask for the futex",
        "ask for a byte",
        "store beside it",
        "punch holes",
    ]
    assert wakes["ask for the futex"] > 0
    assert wakes["ask for a byte"] > 0
    assert wakes["do nothing"] == wakes["store beside it"] == wakes["punch holes"] == 0
