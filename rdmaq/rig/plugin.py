"""The pytest plugin of the rig: tests marked `rdma`, of any project, get real RDMA devices.

    @pytest.mark.rdma
    def test_it(rdma_wire, rdma_fault): ...

With `--rdmaq-rig` marked tests run inside a rig and report as usual. Without it they run where they
are if there is a device, else skip; with RDMAQ_TEST_DEVICE (names, comma-separated) a missing
device fails them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rdmaq.rig import fixtures
from rdmaq.rig.devices import RdmaDevice, local_devices
from rdmaq.rig.remote_tests import INNER, Reporter


def _named_devices() -> list[str]:
    return [name for name in os.environ.get("RDMAQ_TEST_DEVICE", "").split(",") if name]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options; inside a guest, take hold of standard output before it is captured."""
    group = parser.getgroup("rdmaq", "RDMA devices (rdmaq)")
    group.addoption(
        "--rdmaq-rig",
        action="store_true",
        help="run tests marked `rdma` inside a rig: a virtual machine with SoftRoCE devices",
    )
    group.addoption("--rdmaq-rig-kernel", metavar="VERSION|FILE", help="the rig's kernel")
    if os.environ.get(INNER) == "1":
        pluginmanager.register(Reporter(), "rdmaq-rig-reporter")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the runner where tests go elsewhere."""
    config.addinivalue_line("markers", "rdma: needs an RDMA device (runs inside --rdmaq-rig)")
    if config.option.rdmaq_rig and os.environ.get(INNER) != "1":
        from rdmaq.rig.host_tests import GuestProtocol, RigRunner

        if getattr(config.option, "numprocesses", None):
            raise pytest.UsageError(
                "--rdmaq-rig runs its tests in one guest: leave xdist's -n out, or run the tests "
                "marked rdma by themselves (-m rdma)"
            )
        runner = RigRunner(config, config.option.rdmaq_rig_kernel)
        config.pluginmanager.register(runner, "rdmaq-rig-runner")
        config.pluginmanager.register(GuestProtocol(runner), "rdmaq-rig-protocol")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a marked test that has no device here."""
    if item.get_closest_marker("rdma") is None:
        return
    present = {device.name for device in local_devices()}
    if absent := set(_named_devices()) - present:
        pytest.fail(
            f"RDMAQ_TEST_DEVICE names {', '.join(sorted(absent))}, and this machine has "
            f"{', '.join(sorted(present)) or 'no RDMA device'}; name one of them, or unset it",
            pytrace=False,
        )
    if not present:
        pytest.skip("no RDMA device here; run with --rdmaq-rig")


@pytest.fixture
def rdma_devices() -> list[RdmaDevice]:
    """Every RDMA port here, or those that RDMAQ_TEST_DEVICE names, in its order."""
    devices = local_devices()
    if names := _named_devices():
        devices = sorted(
            (device for device in devices if device.name in names),
            key=lambda device: names.index(device.name),
        )
    if not devices:
        pytest.skip("no RDMA device here; run with --rdmaq-rig")
    return devices


@pytest.fixture
def rdma_wire(rdma_devices: list[RdmaDevice]) -> fixtures.RdmaWire:
    """Two ports that reach each other; on a machine with one port, both are that one."""
    return fixtures.wire_of(rdma_devices)


@pytest.fixture
def rdma_fault(rdma_wire: fixtures.RdmaWire) -> Iterator[fixtures.FaultInjector]:
    """Breaks the wire for the test; heals it after, and fails if a fault moved no counter."""
    injector = fixtures.FaultInjector(rdma_wire)
    try:
        yield injector
    finally:
        injector.heal()
    if injector.idle:
        pytest.fail(
            f"fault {', '.join(injector.idle)} moved no counter: nothing of it met a packet; "
            "send more while it is on, or ask for more of it",
            pytrace=False,
        )
