"""`rdmaq bench verbs` between two devices, beside perftest: a look, since a figure needs quiet."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rdmaq.rig.fixtures import RdmaWire

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

RDMAQ = (sys.executable, "-c", "from rdmaq.cli import main; main()")
THINGS = {"write": "p50_ns", "read": "p50_ns", "bulk": "bytes_per_s", "rate": "messages_per_s"}


def test_each_thing_is_measured_by_perftest_in_c_and_in_python(rdma_wire: RdmaWire) -> None:
    devices = ("--device", rdma_wire.left.name, "--device", rdma_wire.right.name)
    few = ("--rounds", "1", "--count", "20", "--bulk", "16", "--chains", "2")
    ended = subprocess.run(
        [*RDMAQ, "bench", "verbs", "--json", *few, *devices],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    for thing, metric in THINGS.items():
        for who in ("perftest", "c", "python"):
            assert told["results"][f"{thing}_{who}"][metric]["median"] > 0
        assert told["ratios"][f"{thing}_python_to_{thing}_perftest"]["value"] > 0
