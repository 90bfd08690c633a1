"""A project of somebody else's that uses the plugin; tests/rig/test_plugin.py runs a copy of it."""

import os
import subprocess

import pytest

from rdmaq.rig.devices import RdmaDevice
from rdmaq.rig.fixtures import RdmaWire


def ping_pong(wire: RdmaWire, *options: str) -> str:
    """Run ibv_rc_pingpong from the wire's right end to its left end; returns its output."""

    def words(device: RdmaDevice) -> list[str]:
        return ["ibv_rc_pingpong", "-d", device.name, "-g", str(device.gid_index), *options]

    with subprocess.Popen(words(wire.left), stdout=subprocess.DEVNULL) as server:
        for _attempt in range(50):
            client = subprocess.run(
                [*words(wire.right), wire.left.address], capture_output=True, text=True
            )
            if client.returncode == 0 or server.poll() is not None:
                break
        server.wait(timeout=60)
    assert client.returncode == 0, client.stderr
    return client.stdout


@pytest.mark.rdma
def test_messages_cross_the_wire(rdma_wire: RdmaWire) -> None:
    before = rdma_wire.packets()
    assert "1000 iters" in ping_pong(rdma_wire)
    assert rdma_wire.packets() >= before + 2000


@pytest.mark.rdma
def test_this_one_fails(rdma_devices: list[RdmaDevice]) -> None:
    assert [device.name for device in rdma_devices] == ["mlx5_0"]


@pytest.mark.rdma
def test_this_one_skips(rdma_devices: list[RdmaDevice]) -> None:
    if not any(device.name.startswith("mlx5") for device in rdma_devices):
        pytest.skip("needs an mlx5")


def test_of_the_host_runs_on_the_host() -> None:
    assert "RDMAQ_RIG" not in os.environ
