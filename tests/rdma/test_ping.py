"""`rdmaq ping` over verbs: what was negotiated, and round trips by the network cards alone."""

from __future__ import annotations

import json
import re

import pytest

from rdmaq.cli import run
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma.sessions import serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]


def test_ping_over_the_wire_tells_what_was_negotiated(
    rdma_wire: RdmaWire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and as JSON: transport, device, both GIDs, MTU, timers, no TLS; then round trips."""
    left, right = rdma_wire.left, rdma_wire.right
    with serving(rdma_wire) as node:
        monkeypatch.setenv("RDMAQ_INSECURE", "1")
        monkeypatch.setenv("RDMAQ_INTERFACE", right.interface)
        options = ["--transport", "verbs", "--count", "20", "--timeout", "60"]
        before = rdma_wire.packets()
        assert run(["ping", node.address, *options, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert rdma_wire.packets() >= before + 2 * 20
        assert run(["ping", node.address, *options]) == 0
        words = capsys.readouterr().out
    assert facts["transport"] == "verbs"
    assert facts["security"].startswith("insecure: no TLS; RDMA's own packets are neither")
    told = facts["negotiated"]
    assert told["device"] == f"{right.name} port {right.port}"
    assert str(told["gid"]).startswith(right.address)
    assert told["peer_gid"] == left.address
    assert told["mtu_bytes"] == 4096
    assert "timeout" in told["timers"]
    assert len(facts["round_trips_us"]) == 20
    assert 0 < facts["min_us"] <= facts["median_us"] <= facts["max_us"]
    for pattern in (
        "transport verbs; 0 streams, 1 regions and tables",
        r"security +insecure: no TLS",
        rf"our GID +{re.escape(right.address)} \(RoCE v2, index \d+\)",
        rf"its GID +{re.escape(left.address)}",
        r"MTU +4096",
        r"timers +timeout \d+ \(.* s\), retries \d",
        r"20 round trips: min \d+ us, median \d+ us, max \d+ us",
    ):
        assert re.search(pattern, words), words
