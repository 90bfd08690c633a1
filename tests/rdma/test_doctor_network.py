"""Failures of ports, GIDs, packet sizes and firewalls, produced in a guest and recognised there.

What rxe cannot have (InfiniBand's states, RoCE v1) is shown to doctor by files mounted over the
kernel's, in a mount namespace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdmaq.doctor.checks import examine
from rdmaq.doctor.finding import BAD, NOTE
from rdmaq.doctor.machine import Machine
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.rdma import broken
from tests.rdma.broken import RXE, emptied, findings_after, names, replaced, run, the

pytestmark = [
    pytest.mark.rdma,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may break a machine this way"),
    pytest.mark.usefixtures("healthy_guest"),
]


@pytest.fixture
def port(rdma_wire: RdmaWire) -> Path:
    """The files of the left port."""
    return RXE / rdma_wire.left.name / "ports" / str(rdma_wire.left.port)


def test_link_that_is_down_is_recognised_at_both_ends(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector
) -> None:
    """The end that was switched off, and the one that hears nobody any more."""
    left, right = rdma_wire.left, rdma_wire.right
    rdma_fault.inject("down", interface=left.interface)
    findings = examine(Machine())
    rdma_fault.heal()
    assert the(findings, "port-interface-down").what.startswith(f"{left.name} port 1 is DOWN")
    assert the(findings, "port-no-carrier").what.startswith(f"{right.name} port 1 is DOWN")
    assert the(findings, "port-no-carrier").level == BAD


@pytest.mark.parametrize(
    ("state", "symptom"), [("2: INIT", "port-no-subnet-manager"), ("1: DOWN", "port-down")]
)
def test_infiniband_port_that_is_not_active_is_recognised(
    port: Path, tmp_path: Path, state: str, symptom: str
) -> None:
    findings = findings_after(
        replaced(port / "state", state, tmp_path),
        replaced(port / "link_layer", "InfiniBand", tmp_path),
        emptied(port / "gid_attrs" / "ndevs"),
    )
    assert the(findings, symptom).level == NOTE  # the other port is active


def test_port_without_a_gid_is_recognised(port: Path) -> None:
    assert the(findings_after(emptied(port / "gids")), "gid-none").level == BAD


def test_interface_without_an_address_is_recognised(rdma_wire: RdmaWire) -> None:
    left = rdma_wire.left
    address = (f"{left.address}/24", "dev", left.interface)
    before = ["ip", "address", "add", *address, "noprefixroute"]
    with broken.broken("ip", "address", "del", *address, mend=before):
        finding = the(examine(Machine()), "gid-link-local")
    assert f"{left.name} port 1" in finding.what
    assert f"dev {left.interface}" in finding.cure


def test_port_with_roce_v1_alone_is_recognised(port: Path, tmp_path: Path) -> None:
    types = [port / "gid_attrs" / "types" / str(index) for index in (0, 1)]
    findings = findings_after(*(replaced(path, "IB/RoCE v1", tmp_path) for path in types))
    assert the(findings, "gid-roce-v1").level == NOTE


@pytest.fixture
def vlan(rdma_wire: RdmaWire) -> Iterator[str]:
    """A VLAN on the left end, with an address, so with a GID; up and as wide as the wire."""
    name = f"{rdma_wire.left.interface}.5"
    link = ("ip", "link", "add", "link", rdma_wire.left.interface, "name", name)
    with broken.broken(*link, "type", "vlan", "id", "5", mend=["ip", "link", "delete", name]):
        run("ip", "link", "set", name, "up")
        run("ip", "address", "add", "10.99.5.1/24", "dev", name)
        assert names(examine(Machine())) == set()
        yield name


def test_vlan_that_is_down_is_recognised_by_its_gid(vlan: str) -> None:
    run("ip", "link", "set", vlan, "down")
    finding = the(examine(Machine()), "gid-interface-down")
    assert "10.99.5.1" in finding.what
    assert finding.cure.startswith(f"ip link set {vlan} up")


def test_vlan_that_carries_less_than_its_port_sends_is_recognised(vlan: str) -> None:
    run("ip", "link", "set", vlan, "mtu", "1500")
    finding = the(examine(Machine()), "mtu-interface-less")
    assert finding.level == BAD
    assert "4096 bytes" in finding.what
    assert "mtu_bytes=1024" in finding.cure


def test_interface_that_narrows_its_port_is_recognised(rdma_wire: RdmaWire) -> None:
    """Ethernet's usual 1500 bytes leave 1024 of RDMA's 4096: it works, and could do better."""
    mtu = ("ip", "link", "set", rdma_wire.left.interface, "mtu")
    with broken.broken(*mtu, "1500", mend=[*mtu, "4300"]):
        finding = the(examine(Machine()), "mtu-small")
    assert finding.level == NOTE
    assert "1024" in finding.what
    assert "mtu 4176" in finding.cure


NFT = """
table inet test {{
    chain {hook} {{
        type filter hook {hook} priority 0; policy {policy};
        {rule}
    }}
}}
"""


@pytest.mark.parametrize(
    ("hook", "policy", "rule", "symptom"),
    [
        ("input", "accept", "udp dport 4791 counter drop", "firewall-drops"),
        ("output", "accept", "udp dport 4000-5000 drop", "firewall-drops"),
        ("input", "drop", "ct state established,related accept", "firewall-drops"),
        ("input", "accept", "ip saddr 10.77.0.0/16 udp dport 4791 drop", "firewall-may-drop"),
        ("input", "drop", "udp dport 4791 accept", ""),
        ("input", "accept", "tcp dport 4791 drop", ""),
    ],
)
def test_rules_of_nft_are_recognised(hook: str, policy: str, rule: str, symptom: str) -> None:
    run("nft", "-f", "-", text=NFT.format(hook=hook, policy=policy, rule=rule))
    try:
        findings = examine(Machine())
    finally:
        run("nft", "delete", "table", "inet", "test")
    assert names(findings) == {symptom} - {""}
    if symptom == "firewall-drops":
        assert f"inet test {hook}" in the(findings, "firewall-drops").what
    if symptom == "firewall-may-drop":
        assert the(findings, "firewall-may-drop").level == NOTE


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_rules_of_iptables_are_recognised_by_either_of_its_kinds(program: str) -> None:
    rule = ("INPUT", "-p", "udp", "--dport", "4791", "-j", "DROP")
    with broken.broken(program, "-A", *rule, mend=[program, "-D", *rule]):
        findings = examine(Machine())
    run("nft", "flush", "ruleset")  # the chain that iptables-nft made stays
    assert names(findings) == {"firewall-drops"}
