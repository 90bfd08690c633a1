"""What doctor knows of memory, software, the kernel and clocks, each on a made-up machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdmaq import _fast
from rdmaq.cli import run
from rdmaq.doctor import clocks
from rdmaq.doctor.checks import CHECKS, examine
from rdmaq.doctor.finding import BAD, NOTE, OK
from rdmaq.errors import VerbsUnavailable
from rdmaq.verbs import library
from tests.doctor.machines import found, machine, symptoms


def test_healthy_machine_has_nothing_to_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check that can look at a made-up machine is content."""
    monkeypatch.setattr(library, "check_built", lambda: None)
    monkeypatch.setattr(clocks, "clock_kind", lambda: "tsc")
    results = examine(machine(tmp_path))
    assert [f for f in results if f.level != OK or f.cure or f.symptom] == []
    assert len({f.check for f in results}) == len(CHECKS) - 2  # no device is opened: open, mtu


@pytest.mark.parametrize(
    ("soft", "hard", "symptom", "cure"),
    [
        (8 << 20, 8 << 20, "memlock-hard", "limits.d"),
        (8 << 20, -1, "memlock-soft", "ulimit -l unlimited"),
        (64 << 10, 1 << 30, "memlock-soft", "ulimit -l unlimited"),
    ],
)
def test_small_memlock_is_told_with_the_cure_that_helps(
    tmp_path: Path, soft: int, hard: int, symptom: str, cure: str
) -> None:
    """Where the hard limit is the obstacle, raising the soft one would not help."""
    finding = found(machine(tmp_path, memlock=(soft, hard)), symptom)
    assert finding.level == BAD
    assert f"{soft >> 10:,} KiB" in finding.what
    assert cure in finding.cure


def test_small_memlock_is_a_note_where_no_device_would_need_it(tmp_path: Path) -> None:
    where = machine(tmp_path, without=("sys/class/infiniband",), memlock=(1 << 20, -1))
    assert found(where, "memlock-soft").level == NOTE


def test_memlock_that_does_not_bind_is_not_told(tmp_path: Path) -> None:
    """CAP_IPC_LOCK, as root has it."""
    caps = "Name: x\nCapEff:\t0000000000004000\n"
    where = machine(tmp_path, memlock=(65536, 65536), files={"proc/self/status": caps})
    assert not {"memlock-soft", "memlock-hard"} & symptoms(where)


def test_denied_large_pages_are_told(tmp_path: Path) -> None:
    """Neither reserved ones nor transparent ones."""
    where = machine(
        tmp_path,
        files={
            "proc/meminfo": "HugePages_Total: 0\n",
            "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always advise never [deny]",
        },
    )
    assert "shmem_enabled" in found(where, "hugepages-none").cure


@pytest.mark.parametrize(
    "package", ["grpcio", "grpcio-health-checking", "protobuf", "cryptography"]
)
def test_missing_package_of_the_extra_is_named(tmp_path: Path, package: str) -> None:
    """And what cannot be done without it."""
    finding = found(machine(tmp_path, absent=(package,)), "net-missing")
    assert finding.level == NOTE
    assert f"not installed: {package}" in finding.what


@pytest.mark.parametrize(("without", "level"), [((), BAD), (("sys/class/infiniband",), NOTE)])
def test_missing_pyverbs_is_bad_where_there_is_a_device(
    tmp_path: Path, without: tuple[str, ...], level: str
) -> None:
    finding = found(machine(tmp_path, absent=("pyverbs",), without=without), "pyverbs-missing")
    assert finding.level == level
    assert "apt install python3-pyverbs" in finding.cure


def test_extension_built_without_verbs_is_told_in_the_loaders_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text, so that who meets the error finds the symptom."""

    class WithoutVerbs:
        def rq_verbs_built(self) -> int:
            return 0

        def __getattr__(self, name: str) -> object:
            return getattr(_fast.lib, name)

    monkeypatch.setattr(library, "lib", WithoutVerbs())
    finding = found(machine(tmp_path), "built-without-verbs")
    with pytest.raises(VerbsUnavailable) as error:
        library.check_built()
    assert str(error.value) == f"{finding.what}; {finding.cure}"


@pytest.mark.parametrize(
    ("without", "more", "symptom", "what"),
    [
        (("sys/module/ib",), {}, "modules-missing", "ib_core, ib_uverbs are not loaded"),
        ((), {}, "adapter-missing", "mlx5_ib found none"),
        (("sys/module/mlx5",), {}, "driver-missing", "no driver of one is loaded"),
        (("sys/module/mlx5",), {"sys/module/rdma_rxe/x": ""}, "rxe-unused", "rdma_rxe"),
    ],
)
def test_absent_device_is_told_with_what_is_missing(
    tmp_path: Path, without: tuple[str, ...], more: dict[str, str], symptom: str, what: str
) -> None:
    """No module, no adapter, no driver, no interface: four causes."""
    where = machine(tmp_path, without=("sys/class/infiniband", *without), files=more)
    finding = found(where, symptom)
    assert finding.level == NOTE
    assert what in finding.what


def test_device_that_programs_cannot_open_is_bad(tmp_path: Path) -> None:
    """A device without its file, for want of ib_uverbs or of whoever makes such files."""
    finding = found(machine(tmp_path, without=("dev/", "sys/module/ib_uverbs")), "uverbs-missing")
    assert finding.level == BAD
    assert "modprobe ib_uverbs" in finding.cure
    built_in = {
        "proc/sys/kernel/osrelease": "6.12.0-test",
        "lib/modules/6.12.0-test/modules.builtin": "kernel/drivers/infiniband/core/ib_uverbs.ko",
    }
    where = machine(tmp_path, without=("dev/", "sys/module/ib_uverbs"), files=built_in)
    assert found(where, "uverbs-not-in-dev").level == BAD


def test_user_access_that_is_built_into_the_kernel_is_not_missed(tmp_path: Path) -> None:
    """Its file is there: nothing else counts."""
    assert "uverbs-missing" not in symptoms(machine(tmp_path, without=("sys/module/ib_uverbs",)))


def test_counter_that_the_kernel_gave_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel uses another clock than the one that frames are stamped with."""
    monkeypatch.setattr(clocks, "clock_kind", lambda: "tsc")
    where = machine(
        tmp_path,
        files={"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"},
    )
    assert "hpet" in found(where, "clock-distrusted").what


def test_clock_that_nothing_synchronises_is_told(tmp_path: Path) -> None:
    assert found(machine(tmp_path, is_synchronised=False), "clock-unsynchronised").level == NOTE


@pytest.mark.parametrize("folder", ["/proc/1/rdmaq", "/proc", "/dev/null"])
def test_runtime_folder_that_takes_no_sockets_is_bad_and_the_exit_code_says_so(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names the folder, prints the cure and ends with 1."""
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", folder)
    assert run(["doctor"]) == 1
    (line, cure) = capsys.readouterr().out.splitlines()[:2]
    assert line.startswith(f"BAD   processes of this host cannot meet: the runtime folder {folder}")
    assert "[runtime-folder]" in line
    assert cure.strip() == "cure: set RDMAQ_RUNTIME_DIR to a folder of yours"


@pytest.mark.parametrize("node", ["local:feed", "nonsense", "host:99999"])
def test_way_to_what_is_no_host_and_port_is_refused_in_one_line(
    node: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", node]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_way_to_a_node_that_is_not_there_is_bad(capsys: pytest.CaptureFixture[str]) -> None:
    """The machine's findings stand before it."""
    assert run(["doctor", "127.0.0.1:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("BAD   no node answers at 127.0.0.1:1: ")
    assert lines[-2].endswith("[node-absent]")
    assert lines[-1].strip().startswith("cure: start it there")
