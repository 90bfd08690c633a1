"""The two programs of docs/verbs.md, in processes of their own, as its reader starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdmaq.rig.fixtures import RdmaWire
from tests.docs import pages

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = "docs/verbs.md"


def test_two_processes_print_what_the_page_says(rdma_wire: RdmaWire, tmp_path: Path) -> None:
    for block in pages.blocks(PAGE):
        if block.mark.startswith("file="):
            (tmp_path / block.mark.removeprefix("file=")).write_text(block.code, encoding="utf-8")

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", *words],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    server = start("server.py", rdma_wire.left.interface)
    client = start("client.py", rdma_wire.right.interface, rdma_wire.left.address)
    told = client.communicate(timeout=200)
    heard = server.communicate(timeout=200)
    assert (told[1], heard[1]) == ("", "")
    shown = next(block.code for block in pages.blocks(PAGE) if "rig exec" in block.code)
    assert sorted(shown.splitlines()[1:]) == sorted((told[0] + heard[0]).splitlines())
