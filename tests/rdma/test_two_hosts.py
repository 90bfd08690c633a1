"""docs/two-hosts.md in two virtual machines: its files and its commands, as they are written."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdmaq.rig import lifecycle, running
from rdmaq.rig.state import State
from tests.docs import pages
from tests.rig.support import ROOT, need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = "docs/two-hosts.md"
SECONDS_MAX = 600


@pytest.fixture(scope="module")
def two() -> Iterator[State]:
    need_qemu()
    wish = wish_for("hosts", node_count=2)
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In the checkout, which both machines see and write."""
    (ROOT / ".build").mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="two-hosts-", dir=ROOT / ".build"))
    yield made
    shutil.rmtree(made)


def script(mark: str) -> tuple[str, list[str]]:
    """The commands of the console block of that mark, and what it says that they print."""
    (block,) = [b for b in pages.blocks(PAGE) if (b.language, b.mark) == ("console", mark)]
    lines = block.code.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "\n".join(["set -e", *commands]), [line for line in lines if not line.startswith("$ ")]


def run(rig: State, node: int, mark: str, folder: Path) -> tuple[running.Completed, list[str]]:
    """Runs them in a shell of that machine."""
    commands, shown = script(mark)
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RDMAQ_")}
    done = running.run(
        rig, ["sh", "-c", commands], node=node, folder=folder, timeout=SECONDS_MAX,
        environment={**environment, "PATH": path, "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    return done, shown


def test_node_and_peers_in_two_machines_print_what_the_page_says(two: State, folder: Path) -> None:
    """Mutual TLS from `rdmaq certs`; regions and a table over verbs, found by host and port."""
    for block in pages.blocks(PAGE):
        if block.mark.startswith("file="):
            (folder / block.mark.removeprefix("file=")).write_text(block.code, encoding="utf-8")
    done, _ = run(two, 0, "setup", folder)
    assert done.status == 0, done.stderr.decode()
    served: list[tuple[running.Completed, list[str]]] = []
    server = threading.Thread(target=lambda: served.append(run(two, 0, "node", folder)))
    server.start()
    called, shown = run(two, 1, "peers", folder)
    if called.status != 0:  # the node would wait for its visitors
        lifecycle.down(two.name)
    server.join()
    node, node_shown = served[0]
    assert (called.status, called.stderr) == (0, b""), (called.stderr + node.stderr).decode()
    assert called.stdout.decode().splitlines() == shown
    assert (node.status, node.stderr) == (0, b""), node.stderr.decode()
    assert node.stdout.decode().splitlines() == node_shown
    assert "transport verbs" in (folder / "ping.txt").read_text()
