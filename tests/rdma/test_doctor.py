"""Failures of memory, software, devices and clocks, produced in a guest and recognised there.

What a test cannot undo (a kernel without modules) is shown to doctor by folders mounted over the
kernel's, in a mount namespace. tests/doctor/test_catalogue.py sees to it that no symptom is
left out.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdmaq.doctor import clocks
from rdmaq.doctor.checks import examine
from rdmaq.doctor.facts import gather
from rdmaq.doctor.finding import BAD, NOTE, OK, UNSEEN
from rdmaq.doctor.machine import Machine
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs import library
from tests.rdma import broken
from tests.rdma.broken import (
    RXE,
    as_nobody,
    emptied,
    findings_after,
    findings_of_a_new_process,
    locked,
    names,
    replaced,
    run,
    the,
)

pytestmark = [
    pytest.mark.rdma,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may break a machine this way"),
    pytest.mark.usefixtures("healthy_guest"),
]

DOORS = Path("/dev/infiniband")
PYVERBS = Path("/usr/lib/python3/dist-packages/pyverbs")
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")


def test_healthy_machine_has_nothing_to_cure_for_root_and_for_an_ordinary_user(
    rdma_wire: RdmaWire,
) -> None:
    """Every check looks, but for the firewall's rules, which the latter may not read."""
    findings = examine(Machine())
    assert names(findings) == set()
    assert {finding.level for finding in findings} == {OK}
    assert {"open", "ports", "gids", "mtu", "firewall", "clock"} <= {f.check for f in findings}
    assert any(rdma_wire.left.address in finding.what for finding in findings)
    findings = findings_after(as_nobody)
    assert names(findings) == set()
    assert {f.check for f in findings if f.level != OK} == {"firewall"}
    assert {f.level for f in findings if f.check == "firewall"} == {UNSEEN}


def test_info_tells_what_each_device_grants(rdma_wire: RdmaWire) -> None:
    """Limits, interfaces and GIDs of both ends; verbs are usable."""
    facts = gather(Machine())
    assert facts["transports"]["verbs"] == {"usable": True, "why_not": None}
    told = {port["device"]: port for port in facts["ports"]}
    for end in (rdma_wire.left, rdma_wire.right):
        port = told[end.name]
        assert (port["state"], port["mtu_bytes"], port["mtu_bytes_max"]) == ("ACTIVE", 4096, 4096)
        assert port["interfaces"] == [{"name": end.interface, "is_up": True, "mtu_bytes": 4300}]
        assert port["gids"][end.gid_index]["address"] == end.address
        limits = port["limits"]
        assert all(limits[name] > 0 for name in (
            "queue_pairs_max", "send_depth_max", "cq_entries_max", "regions_max", "windows_max",
            "region_bytes_max", "initiator_depth_max", "responder_depth_max", "inline_bytes_max",
        ))  # fmt: skip
        assert limits["has_atomics"] is True
        assert "2B" in limits["window_types"]


def test_locked_memory_that_is_too_little_is_recognised() -> None:
    """By an ordinary user: root's is not limited."""
    soft = findings_after(locked(1 << 20, 1 << 30), as_nobody)
    assert the(soft, "memlock-soft").level == BAD
    hard = findings_after(locked(1 << 20, 1 << 20), as_nobody)
    assert "1,024 KiB" in the(hard, "memlock-hard").what
    assert names(findings_after(locked(1 << 20, 1 << 20))) == set()


def test_runtime_folder_that_takes_no_sockets_is_recognised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RDMAQ_RUNTIME_DIR", "/proc")
        assert the(examine(Machine()), "runtime-folder").level == BAD


def test_large_pages_that_are_denied_are_recognised() -> None:
    before = LARGE_PAGES.read_text().partition("[")[2].partition("]")[0]
    LARGE_PAGES.write_text("deny")
    try:
        assert the(examine(Machine()), "hugepages-none").level == NOTE
    finally:
        LARGE_PAGES.write_text(before)


def test_packages_that_are_missing_are_recognised() -> None:
    """Their folders are emptied for a new process."""
    import grpc

    packages = Path(grpc.__file__).parents[1]
    folder = next(packages.glob("grpcio-*.dist-info"))
    findings = findings_of_a_new_process(emptied(folder), emptied(PYVERBS))
    assert "grpcio" in the(findings, "net-missing").what
    assert the(findings, "pyverbs-missing").level == BAD


def test_pyverbs_without_its_library_is_recognised(tmp_path: Path) -> None:
    """A libibverbs that is no library."""
    path = next(Path("/usr/lib").glob("*/libibverbs.so.1")).resolve()
    findings = findings_of_a_new_process(replaced(path, "nothing", tmp_path))
    assert "libibverbs" in the(findings, "pyverbs-unloadable").what


def test_extension_built_without_verbs_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of its own would take minutes here: its answer is put in."""

    class WithoutVerbs:
        def rq_verbs_built(self) -> int:
            return 0

    monkeypatch.setattr(library, "lib", WithoutVerbs())
    assert the(examine(Machine()), "built-without-verbs").level == BAD


def test_modules_drivers_and_adapters_that_are_missing_are_told_apart() -> None:
    none = emptied(RXE)

    def with_modules(*modules: str) -> set[str]:
        return names(findings_after(none, emptied("/sys/module", *modules)))

    assert with_modules() == {"modules-missing"}
    assert with_modules("ib_core") == {"modules-missing"}
    assert with_modules("ib_core", "ib_uverbs") == {"driver-missing"}
    assert with_modules("ib_core", "ib_uverbs", "mlx5_ib") == {"adapter-missing"}


def test_rxe_without_an_interface_is_recognised(rdma_wire: RdmaWire) -> None:
    """Both devices are deleted, and made again."""
    for end in (rdma_wire.left, rdma_wire.right):
        run("rdma", "link", "delete", end.name)
    try:
        assert names(examine(Machine())) == {"rxe-unused"}
    finally:
        for end in (rdma_wire.left, rdma_wire.right):
            run("rdma", "link", "add", end.name, "type", "rxe", "netdev", end.interface)


def test_doors_that_are_missing_or_closed_are_told_apart() -> None:
    findings = findings_after(emptied(DOORS), emptied("/sys/module", "ib_core", "rdma_rxe"))
    assert the(findings, "uverbs-missing").level == BAD
    assert the(findings_after(emptied(DOORS)), "uverbs-not-in-dev").level == BAD
    doors = [str(door) for door in DOORS.glob("uverbs*")]
    with broken.broken("chmod", "0600", *doors, mend=["chmod", "0666", *doors]):
        findings = findings_after(as_nobody)
        assert all(door in the(findings, "uverbs-permission").what for door in doors)
        assert names(examine(Machine())) == set()


def test_device_whose_driver_in_user_space_is_missing_is_recognised(rdma_wire: RdmaWire) -> None:
    """What libibverbs learns its drivers from is emptied."""
    findings = findings_of_a_new_process(emptied("/etc/libibverbs.d"))
    finding = the(findings, "device-refuses")
    assert f"cannot open {rdma_wire.left.name}" in finding.what
    assert "ibverbs-providers" in finding.what + finding.cure


def test_counter_that_the_kernel_gave_up_is_recognised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An emulated processor has no counter that can be trusted, so that rdmaq uses none there."""
    monkeypatch.setattr(clocks, "clock_kind", lambda: "tsc")
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    findings = findings_after(replaced(source, "hpet", tmp_path))
    assert "hpet" in the(findings, "clock-distrusted").what


def test_clock_that_nothing_synchronises_is_recognised() -> None:
    broken.set_clock_synchronised(False)
    finding = the(examine(Machine()), "clock-unsynchronised")
    broken.set_clock_synchronised(True)
    assert finding.level == NOTE
