"""Which device, port and GID are chosen, from a tree like the kernel's."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rdmaq.errors import DeviceNotFound
from rdmaq.verbs.choice import choose, local_address_towards
from rdmaq.verbs.devices import ports
from tests.verbs.sysfs import NULL, add_port

LINK_LOCAL = ("fe80::84:8bff:fe77:0", "RoCE v2", "eth0")
V1 = ("10.0.0.5", "IB/RoCE v1", "eth0")
V2 = ("10.0.0.5", "RoCE v2", "eth0")
V2_IPV6 = ("2001:db8::5", "RoCE v2", "eth0")
VLAN = ("10.9.0.5", "RoCE v2", "eth0.9")


def chosen(root: Path, **wishes: Any) -> tuple[str, int, int]:
    port, gid = choose(ports(root), **wishes)
    return port.device, port.number, gid.index


def test_empty_slots_are_no_gids(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [LINK_LOCAL, V2])
    (port,) = ports(tmp_path)
    assert [gid.index for gid in port.gids] == [0, 1]
    assert port.interfaces == ("eth0",)


def test_machine_without_rdma_has_no_ports_and_the_error_says_how_to_get_one(
    tmp_path: Path,
) -> None:
    assert ports(tmp_path) == []
    with pytest.raises(DeviceNotFound, match=r"no RDMA device.*; .*rxe.*rig"):
        choose([])


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ([LINK_LOCAL, V1, V2], 2),  # routable RoCE v2 first
        ([V2_IPV6, V2], 1),
        ([LINK_LOCAL, V1], 1),  # then RoCE v1
        ([LINK_LOCAL, V2_IPV6], 1),
        ([LINK_LOCAL], 0),  # link-local only where it is alone
        ([("127.0.0.1", "RoCE v2", "lo"), V1], 1),
        ([VLAN, V2], 0),  # as good as each other: the table's order
    ],
)
def test_best_gid_wins(tmp_path: Path, table: list[tuple[str, str, str]], index: int) -> None:
    add_port(tmp_path, "mlx5_0", table)
    assert chosen(tmp_path) == ("mlx5_0", 1, index)


def test_port_with_a_routable_gid_wins_over_one_without(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [LINK_LOCAL])
    add_port(tmp_path, "mlx5_1", [LINK_LOCAL, V2])
    assert chosen(tmp_path) == ("mlx5_1", 1, 1)


def test_port_that_is_down_is_never_chosen(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [V2], state="1: DOWN")
    add_port(tmp_path, "mlx5_0", [V1], port=2)
    assert chosen(tmp_path) == ("mlx5_0", 2, 0)
    with pytest.raises(DeviceNotFound, match=r"mlx5_0 port 1 is DOWN; .*ip link set"):
        chosen(tmp_path, port=1)


def test_interface_chooses_its_own_gid_a_vlan_too(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [V2, VLAN])
    assert chosen(tmp_path, interface="eth0.9") == ("mlx5_0", 1, 1)


def test_gid_index_by_hand_is_taken_whatever_its_rank(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [LINK_LOCAL, V2])
    assert chosen(tmp_path, gid_index=0) == ("mlx5_0", 1, 0)


def test_empty_slot_by_hand_is_refused_with_a_listing(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [LINK_LOCAL, V2])
    with pytest.raises(DeviceNotFound, match=r"fits gid_index=2: .*10\.0\.0\.5 \(RoCE v2, index 1"):
        chosen(tmp_path, gid_index=2)


def test_host_to_reach_chooses_the_gid_of_our_address_towards_it(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [V2])
    add_port(tmp_path, "mlx5_1", [("10.7.0.5", "RoCE v2", "eth1")])
    towards = {"10.7.0.77": ip_address("10.7.0.5")}
    assert chosen(tmp_path, reach="10.7.0.77", towards=towards.__getitem__) == ("mlx5_1", 1, 0)


def test_host_that_no_rdma_port_reaches_is_an_error_that_names_our_address(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [V2])
    with pytest.raises(DeviceNotFound, match=r"reach='localhost'.*reached from 127\.0\.0\.1"):
        chosen(tmp_path, reach="localhost", towards=lambda _: ip_address("127.0.0.1"))


def test_our_address_towards_a_host_is_the_kernels_choice() -> None:
    assert str(local_address_towards("127.0.0.1")) == "127.0.0.1"


@pytest.mark.parametrize("host", ["256.1.1.1", "no host", "", "ü" * 70, 7])
def test_host_that_is_none_is_refused_in_words(host: Any) -> None:
    with pytest.raises(DeviceNotFound, match=r"no RDMA port reaches .*; "):
        local_address_towards(host)


def test_infiniband_port_is_found_by_its_ipoib_interface(tmp_path: Path) -> None:
    add_port(tmp_path, "mlx5_0", [(NULL, "IB/RoCE v1", "")], port=1, link_layer="InfiniBand")
    gid = ("fe80::5", "IB/RoCE v1", "")
    add_port(tmp_path, "mlx5_0", [gid], port=2, link_layer="InfiniBand")
    net = tmp_path / "infiniband" / "mlx5_0" / "device" / "net" / "ib1"
    net.mkdir(parents=True)
    (net / "dev_port").write_text("1\n")
    assert chosen(tmp_path, interface="ib1") == ("mlx5_0", 2, 0)
    assert [gid.kind for port in ports(tmp_path) for gid in port.gids] == ["InfiniBand"] * 2
    # The null GID stands last: without a wish the other port is taken.
    assert chosen(tmp_path) == ("mlx5_0", 2, 0)
    assert chosen(tmp_path, port=1) == ("mlx5_0", 1, 0)
