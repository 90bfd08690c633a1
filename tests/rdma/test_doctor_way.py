"""Each failure that doctor knows of the way to a node, produced between two ends of a wire."""

from __future__ import annotations

import json
import os

import pytest

import rdmaq
from rdmaq.address import HostPort, parse_address
from rdmaq.cli import run as run_command
from rdmaq.doctor.finding import BAD, NOTE, OK, Finding
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.way import examine_way
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma import broken
from tests.rdma.broken import dropped, names, run, the
from tests.rdma.sessions import INSECURE, serving

pytestmark = [
    pytest.mark.rdma,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may break a machine this way"),
]

PATIENCE_SECONDS = 60.0
TOKEN = "a-token-of-a-test-and-nothing-else"


@pytest.fixture(autouse=True)
def without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDMAQ_INSECURE", "1")


def looked(address: str, **choice: str) -> list[Finding]:
    """What doctor says of the way, with RDMAQ_* of the caller's alone."""
    where = parse_address(address)
    assert isinstance(where, HostPort)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in choice.items():
            patch.setenv(f"RDMAQ_{name.upper()}", value)
        return list(examine_way(Machine(), where, timeout=PATIENCE_SECONDS))


def looked_over(wire: RdmaWire, node: rdmaq.Node) -> list[Finding]:
    """The same from the right end, over the wire: the node is at the left one."""
    return looked(node.address, interface=wire.right.interface)


def test_way_that_is_whole_has_nothing_to_cure(rdma_wire: RdmaWire) -> None:
    """By the port that the kernel would take: the node's own, since it is on this host."""
    with serving(rdma_wire) as node:
        findings = looked(node.address)
    assert names(findings) == set()
    assert {finding.level for finding in findings} == {OK}
    assert {finding.check for finding in findings} == {"route", "node", "path"}


def test_way_over_the_wire_is_proved_by_packets_of_every_size(rdma_wire: RdmaWire) -> None:
    """The kernel would not take that way by itself, which is told; else it is whole."""
    before = rdma_wire.packets()
    with serving(rdma_wire) as node:
        findings = looked_over(rdma_wire, node)
    assert names(findings) == {"route-elsewhere"}
    assert the(findings, "route-elsewhere").level == NOTE
    told = " ".join(finding.what for finding in findings)
    assert f"{rdma_wire.right.address} (RoCE v2, index 1) to {rdma_wire.left.address}" in told
    assert "passes both ways by packets of 4096 bytes" in told
    assert rdma_wire.packets() > before


def test_host_without_a_route_is_recognised() -> None:
    route = ("unreachable", "203.0.113.0/24")
    with broken.broken("ip", "route", "add", *route, mend=["ip", "route", "delete", *route]):
        finding = the(looked("203.0.113.1:7471"), "route-none")
    assert "No route to host" in finding.what


def test_node_that_is_not_there_is_recognised(rdma_wire: RdmaWire) -> None:
    where = HostPort(rdma_wire.left.address, 1)
    (finding,) = examine_way(Machine(), where, timeout=0.0)
    assert finding.symptom == "node-absent"
    assert "TCP to port 1" in finding.cure


def test_node_that_wants_a_token_is_recognised(rdma_wire: RdmaWire) -> None:
    wanting = rdmaq.Credentials(insecure=True, token=TOKEN)
    with serving(rdma_wire, wanting) as node:
        finding = the(looked(node.address), "node-refuses")
    assert "token" in finding.what
    assert TOKEN not in finding.what


def test_node_without_verbs_is_recognised_with_its_reason(
    rdma_wire: RdmaWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RDMAQ_DEVICE", "rxe9")
        with rdmaq.Node(f"{rdma_wire.left.address}:0", credentials=INSECURE) as node:
            patch.delenv("RDMAQ_DEVICE")
            finding = the(looked(node.address), "node-without-verbs")
    assert "rxe9" in finding.what


def test_gids_of_two_kinds_are_recognised(rdma_wire: RdmaWire) -> None:
    """Ours is link-local, the node's an IPv4 address."""
    with serving(rdma_wire) as node:
        findings = looked(node.address, gid_index="0", device=rdma_wire.right.name)
    assert the(findings, "gid-kinds-differ").level == BAD


def test_blocked_roce_is_recognised_though_tcp_passes(rdma_wire: RdmaWire) -> None:
    """By the command as a user has it: the firewall's rule and the way are both told."""
    with serving(rdma_wire) as node, dropped("udp dport 4791"):
        findings = looked_over(rdma_wire, node)
        assert the(findings, "roce-blocked").level == BAD
        assert "path-mtu" not in names(findings)


def test_answer_that_cannot_be_connected_is_recognised(rdma_wire: RdmaWire) -> None:
    """Our GID is of a VLAN that nobody else is in."""
    name = f"{rdma_wire.right.interface}.5"
    link = ("ip", "link", "add", "link", rdma_wire.right.interface, "name", name)
    with (
        serving(rdma_wire) as node,
        broken.broken(*link, "type", "vlan", "id", "5", mend=["ip", "link", "delete", name]),
    ):
        run("ip", "link", "set", name, "up")
        run("ip", "address", "add", "10.99.5.1/24", "dev", name)
        findings = looked(node.address, interface=name)
    assert the(findings, "path-refused").level == BAD


def test_path_that_loses_large_packets_is_recognised(rdma_wire: RdmaWire) -> None:
    """The connection fails, and one of small packets shows that the way is open."""
    with serving(rdma_wire) as node, dropped("meta length > 1500"):
        finding = the(looked_over(rdma_wire, node), "path-mtu")
    assert finding.level == BAD
    assert "(4156 with their headers)" in finding.what
    assert "those of 1024 pass" in finding.what
    assert "mtu 1104" in finding.cure


def test_ends_that_send_packets_of_different_sizes_are_recognised(rdma_wire: RdmaWire) -> None:
    mtu = ("ip", "link", "set", rdma_wire.left.interface, "mtu")
    with broken.broken(*mtu, "1500", mend=[*mtu, "4300"]), serving(rdma_wire) as node:
        findings = looked_over(rdma_wire, node)
    assert "of 4096 bytes, the node's port of 1024" in the(findings, "mtu-ends-differ").what
    assert "path-mtu" not in names(findings)


def test_command_tells_machine_and_way_in_one_and_its_exit_code_judges_both(
    rdma_wire: RdmaWire, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(rdma_wire) as node, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RDMAQ_INTERFACE", rdma_wire.right.interface)
        assert run_command(["doctor", node.address, "--json", "--timeout", "60"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["peer"] == node.address
        assert {"firewall", "route", "node", "path"} <= {f["check"] for f in told["findings"]}
        with dropped("udp dport 4791"):
            assert run_command(["doctor", node.address, "--timeout", "60"]) == 1
        words = capsys.readouterr().out
    assert "[firewall-drops]" in words
    assert "[roce-blocked]" in words
