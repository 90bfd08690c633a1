"""What a test that asks for RDMA devices gets, whether from a rig or from hardware."""

from __future__ import annotations

import pytest

from rdmaq.rig.devices import RdmaDevice, local_devices
from rdmaq.rig.fixtures import FaultInjector, RdmaWire
from tests.rdma.traffic import run_pair

pytestmark = [pytest.mark.rdma, pytest.mark.slow]


def test_devices_are_active_and_have_a_gid(rdma_devices: list[RdmaDevice]) -> None:
    assert all(device.is_active for device in rdma_devices)
    assert all(device.address and device.interface for device in rdma_devices)


@pytest.mark.parametrize("tool", ["ib_write_lat", "ib_read_bw", "ib_send_bw"])
def test_perftest_crosses_the_wire(rdma_wire: RdmaWire, tool: str) -> None:
    """The devices' own counters tell that no loopback was used."""
    sent = rdma_wire.packets()
    run_pair(rdma_wire, tool, "-F", "-n", "200")
    assert rdma_wire.packets() - sent >= 400


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("loss", "10%"),
        ("delay", "5ms"),
        ("reorder", "20%"),
        ("duplicate", "20%"),
        ("corrupt", "10%"),
        ("rate", "100mbit"),
    ],
)
def test_traffic_survives_a_fault_that_moved_its_counter(
    rdma_wire: RdmaWire, rdma_fault: FaultInjector, kind: str, amount: str
) -> None:
    """The fixture fails the test if the fault did nothing."""
    with rdma_fault(kind, amount):
        run_pair(rdma_wire, "ib_write_bw", "-F", "-n", "60", "-s", "4096", "-u", "13")


def test_link_down_is_seen_and_healed(rdma_wire: RdmaWire, rdma_fault: FaultInjector) -> None:
    with rdma_fault("down"):
        assert not any(device.is_active for device in local_devices())
    run_pair(rdma_wire, "ib_write_lat", "-F", "-n", "20")
