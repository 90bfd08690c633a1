"""`rdmaq bench ... --transport verbs` between two devices: a look, since a figure needs quiet."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from rdmaq.rig.fixtures import RdmaWire

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

RDMAQ = (sys.executable, "-c", "from rdmaq.cli import main; main()")
FEW = ("--transport", "verbs", "--rounds", "1", "--capacity", "64KiB", "--json")


def told(wire: RdmaWire, *words: str) -> dict[str, Any]:
    devices = ("--device", wire.left.name, "--device", wire.right.name)
    ended = subprocess.run(
        [*RDMAQ, "bench", *words, *FEW, *devices], capture_output=True, text=True, timeout=250
    )
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def test_round_trips_stand_beside_the_same_chain_in_c(rdma_wire: RdmaWire) -> None:
    report = told(rdma_wire, "latency", "--count", "10")
    assert set(report["results"]) == {"chain_c", "stream_spin", "streams_c", "stream_auto"}
    assert all(result["p50_ns"]["median"] > 0 for result in report["results"].values())
    assert report["ratios"]["stream_spin_to_chain_c"]["target"] == 1.3
    assert len(report["intervals"]["stream_spin_to_chain_c"]) == 2


def test_messages_a_second_stand_beside_perftest(rdma_wire: RdmaWire) -> None:
    report = told(rdma_wire, "rate", "--messages", "640", "--count", "50", "--batch", "64")
    assert set(report["results"]) == {"write_perftest", "many", "batch", "single"}
    assert report["ratios"]["many_to_write_perftest"]["target"] == 10
    assert report["results"]["many"]["messages_per_s"]["median"] > 0
    assert report["links"]["messages"][0]["chains"] > 0


def test_links_are_served_in_turn_and_their_skew_is_told(rdma_wire: RdmaWire) -> None:
    report = told(rdma_wire, "fanout", "--subscribers", "2", "--count", "10")
    many = report["results"]["many"]
    assert many["posting_ns"]["median"] > 0
    assert many["skew_p50_ns"]["median"] >= 0
    assert 0.5 <= many["first_share_max"]["median"] <= 1
    assert len(report["links"]["many"]) == 2
