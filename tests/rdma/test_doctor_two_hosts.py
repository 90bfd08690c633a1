"""`rdmaq doctor HOST:PORT` of one machine, when what ails is at the other, out of its sight."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rdmaq.rig import lifecycle, running
from rdmaq.rig.state import State
from tests.rdma.broken import DROP
from tests.rig.support import ROOT, need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ADDRESS = "10.78.0.1:7471"
SECONDS_MAX = 600
_SERVE = """
import pathlib, sys, time, rdmaq
with rdmaq.Node(sys.argv[1]):
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def two() -> Iterator[State]:
    """Two machines; a node serves on the first, without TLS."""
    need_qemu()
    wish = wish_for("doctor", node_count=2)
    (ROOT / ".build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="two-hosts-", dir=ROOT / ".build"))
    try:
        rig = lifecycle.up(wish)
        end = folder / "end"
        words = [sys.executable, "-c", _SERVE, ADDRESS, str(end)]
        server = threading.Thread(target=lambda: on(rig, 0, *words))
        server.start()
        yield rig
        end.touch()
        server.join()
    finally:
        lifecycle.down(wish.name)
        shutil.rmtree(folder)


def on(rig: State, node: int, *words: str, text: str = "") -> running.Completed:
    """A command in a machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RDMAQ_")}
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return running.run(
        rig, words, node=node, folder=ROOT, timeout=SECONDS_MAX, input=text.encode(),
        environment={**environment, "PATH": path, "RDMAQ_INSECURE": "1"},
    )  # fmt: skip


def doctor(rig: State) -> tuple[int, dict[str, str]]:
    """What the second machine's says: exit code, and words by symptom."""
    program = "from rdmaq.cli import main; main()"
    words = ["doctor", ADDRESS, "--timeout", "120", "--json"]
    done = on(rig, 1, sys.executable, "-c", program, *words)
    told: dict[str, Any] = json.loads(done.stdout or b"{}")
    assert told, done.stderr.decode()
    return done.status, {one["symptom"]: one["what"] for one in told["findings"]}


@contextmanager
def dropped_at_the_node(rig: State, which: str) -> Iterator[None]:
    done = on(rig, 0, "nft", "-f", "-", text=DROP.format(which=which, hook="input"))
    assert done.status == 0, done.stderr.decode()
    try:
        yield
    finally:
        on(rig, 0, "nft", "delete", "table", "inet", "test")


def test_whole_way_between_two_machines_has_nothing_to_cure(two: State) -> None:
    """A guest's clock is kept by nobody, which is told and is not bad."""
    status, told = doctor(two)
    assert set(told) <= {"", "clock-unsynchronised"}
    assert status == 0


def test_port_that_the_other_machine_blocks_is_recognised_from_here(two: State) -> None:
    """No rule of this machine's is to blame."""
    with dropped_at_the_node(two, "udp dport 4791"):
        status, told = doctor(two)
    assert status == 1
    assert "between this host and 10.78.0.1" in told["roce-blocked"]
    assert "firewall-drops" not in told


def test_way_that_loses_large_packets_is_recognised_from_here(two: State) -> None:
    with dropped_at_the_node(two, "meta length > 1500"):
        status, told = doctor(two)
    assert status == 1
    assert "get lost between 10.78.0.2 and 10.78.0.1" in told["path-mtu"]
    assert "roce-blocked" not in told
