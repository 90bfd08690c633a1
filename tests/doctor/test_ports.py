"""What doctor knows of ports and GIDs, on made-up machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdmaq.doctor.checks import examine
from rdmaq.doctor.finding import BAD, NOTE
from tests.doctor.machines import GIDS, found, machine, symptoms
from tests.verbs.sysfs import add_port

_DOWN = {"state": "1: DOWN"}


@pytest.mark.parametrize(
    ("flags", "symptom", "cure"),
    [
        ("0x1002", "port-interface-down", "ip link set eth0 up"),
        ("0x1003", "port-no-carrier", "check the cable"),
    ],
)
def test_port_that_is_down_is_told_with_its_interface(
    tmp_path: Path, flags: str, symptom: str, cure: str
) -> None:
    where = machine(tmp_path, state="1: DOWN", files={"sys/class/net/eth0/flags": flags})
    finding = found(where, symptom)
    assert finding.level == BAD
    assert "mlx5_0 port 1 is DOWN" in finding.what
    assert cure in finding.cure


def test_port_that_is_down_beside_an_active_one_is_a_note(tmp_path: Path) -> None:
    where = machine(tmp_path)
    add_port(tmp_path / "sys/class", "mlx5_0", GIDS, port=2, state="1: DOWN")
    assert found(where, "port-no-carrier").level == NOTE


@pytest.mark.parametrize(
    ("state", "symptom"),
    [
        ("2: INIT", "port-no-subnet-manager"),
        ("3: ARMED", "port-no-subnet-manager"),
        ("1: DOWN", "port-down"),
    ],
)
def test_infiniband_port_is_told_by_its_state(tmp_path: Path, state: str, symptom: str) -> None:
    where = machine(tmp_path, state=state, link_layer="InfiniBand", gids=(("fe80::1", "IB", ""),))
    assert symptoms(where) == {symptom}


def test_link_local_gid_is_the_rule_on_infiniband(tmp_path: Path) -> None:
    where = machine(tmp_path, link_layer="InfiniBand", gids=(("fe80::1", "IB", ""),))
    assert symptoms(where) == set()


@pytest.mark.parametrize(
    ("gids", "symptom", "level"),
    [
        ((), "gid-none", BAD),
        ((("fe80::1", "RoCE v2", "eth0"),), "gid-link-local", BAD),
        ((("192.0.2.7", "IB/RoCE v1", "eth0"),), "gid-roce-v1", NOTE),
        ((*GIDS, ("198.51.100.7", "RoCE v2", "eth0.5")), "gid-interface-down", BAD),
    ],
)
def test_gids_that_reach_nobody_are_told(
    tmp_path: Path, gids: tuple[tuple[str, str, str], ...], symptom: str, level: str
) -> None:
    """And nothing else is said of that machine."""
    where = machine(tmp_path, gids=gids)
    assert found(where, symptom).level == level
    assert symptoms(where) == {symptom}


def test_hardware_meets_no_rule_of_the_hosts_firewall(tmp_path: Path) -> None:
    """So its rules are not even read."""
    where = machine(tmp_path, files={"sys/module/nf_tables/x": ""})
    (finding,) = [f for f in examine(where) if f.check == "firewall"]
    assert finding.symptom == ""
    assert "hardware" in finding.what
