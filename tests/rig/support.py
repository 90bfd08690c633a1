"""What the tests of the rig share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.qemu import QEMU
from rdmaq.rig.shadows import shadows_of

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from rdmaq.cli import main; main()", "rig"]

Cli = Callable[..., subprocess.CompletedProcess[bytes]]


def need_qemu() -> None:
    """Skip where guests cannot run; in CI they must, and the rig itself says what is missing."""
    if os.environ.get("CI") != "true" and shutil.which(QEMU) is None:
        pytest.skip("no QEMU for x86-64 here, where the rig's guests run; scripts/test installs it")


def wish_for(name: str, *, node_count: int = 1, cold: bool = False) -> Wish:
    """A rig of this test process's own."""
    return Wish(
        name=f"test-{os.getpid()}-{name}",
        checkout=ROOT,
        node_count=node_count,
        cold=cold,
        idle_seconds=600,
        shadows=shadows_of(ROOT),
    )
