"""A rig for the tests of the rig itself: one a session, beside whatever the user has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from rdmaq.rig import lifecycle
from rdmaq.rig.state import State
from tests.rig.support import COMMAND, ROOT, Cli, need_qemu, wish_for

collect_ignore = ["sample"]  # another project's tests: test_plugin.py runs a copy of them


@pytest.fixture(scope="session")
def rig() -> Iterator[State]:
    """A rig of one node; whoever kills it brings it up again."""
    need_qemu()
    wish = wish_for("one")
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


@pytest.fixture
def cli(rig: State) -> Cli:
    """`rdmaq rig …` as a process, for the session's rig."""

    def run(
        *words: str, stdout: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *words],
            env={**os.environ, "RDMAQ_RIG_NAME": rig.name},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=100,
        )

    return run
