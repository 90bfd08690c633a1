"""What doctor knows: each failure produced on a made-up machine, and one of the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rdmaq import _fast
from rdmaq.cli import run
from rdmaq.doctor import findings
from rdmaq.doctor.findings import BAD, CHECKS, NOTE, OK, Finding, examine
from rdmaq.doctor.machine import Machine
from rdmaq.verbs import library

HEALTHY = {
    "proc/meminfo": "HugePages_Total:      16\nHugePages_Free:       12\nHugepagesize: 2048 kB\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size [advise] never",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "usr/lib/python3/dist-packages/pyverbs/__init__.py": "",
    "sys/module/ib_core/x": "",
    "sys/module/ib_uverbs/x": "",
    "sys/module/mlx5_ib/x": "",
    "sys/class/infiniband/mlx5_0/x": "",
}


def machine(
    tmp_path: Path,
    *,
    without: tuple[str, ...] = (),
    absent: tuple[str, ...] = (),
    memlock: tuple[int, int] = (-1, -1),
    **files: str,
) -> Machine:
    """The healthy one, less some files, with others in place of them."""
    changed = {name.replace("__", "/"): text for name, text in files.items()}
    for name, text in (HEALTHY | changed).items():
        if not name.startswith(without or ("(nothing)",)):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return Machine(tmp_path, memlock, frozenset(absent))


def found(where: Machine, check: str) -> Finding:
    return next(finding for finding in examine(where) if finding.check == check)


def test_healthy_machine_has_nothing_to_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check runs and is content."""
    monkeypatch.setattr(library, "check_built", lambda: None)
    monkeypatch.setattr(findings, "clock_kind", lambda: "tsc")
    results = examine(machine(tmp_path))
    assert [f for f in results if f.level != OK or f.cure] == []
    assert len(results) >= len(CHECKS)


@pytest.mark.parametrize(
    ("soft", "hard", "cure"),
    [
        (8 << 20, 8 << 20, "limits.d"),
        (8 << 20, -1, "ulimit -l unlimited"),
        (64 << 10, 1 << 30, "ulimit -l unlimited"),
    ],
)
def test_small_memlock_is_told_with_the_cure_that_helps(
    tmp_path: Path, soft: int, hard: int, cure: str
) -> None:
    """Where the hard limit is the obstacle, raising the soft one would not help."""
    finding = found(machine(tmp_path, memlock=(soft, hard)), "memlock")
    assert finding.level == NOTE
    assert f"{soft >> 10:,} KiB" in finding.what
    assert cure in finding.cure


def test_real_memlock_limit_of_a_process_is_seen() -> None:
    """A child with a limit of 64 KiB, by the command itself."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "from rdmaq.cli import run; sys.exit(run(['doctor', '--json']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    told = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert told["memlock"]["level"] == NOTE
    assert "64 KiB" in told["memlock"]["what"]


def test_denied_large_pages_are_told(tmp_path: Path) -> None:
    """Neither reserved ones nor transparent ones."""
    where = machine(
        tmp_path,
        proc__meminfo="HugePages_Total: 0\n",
        sys__kernel__mm__transparent_hugepage__shmem_enabled="always advise never [deny]",
    )
    finding = found(where, "hugepages")
    assert finding.level == NOTE
    assert "shmem_enabled" in finding.cure


@pytest.mark.parametrize(
    "package", ["grpcio", "grpcio-health-checking", "protobuf", "cryptography"]
)
def test_missing_package_of_the_extra_is_named(tmp_path: Path, package: str) -> None:
    """And what cannot be done without it."""
    finding = found(machine(tmp_path, absent=(package,)), "packages")
    assert finding.level == NOTE
    assert f"not installed: {package}" in finding.what
    assert "rdmaq[net]" in finding.cure


def test_missing_pyverbs_is_told_with_the_package_that_has_it(tmp_path: Path) -> None:
    """The distribution's: PyPI's does not import."""
    finding = found(machine(tmp_path, absent=("pyverbs",)), "pyverbs")
    assert finding.level == NOTE
    assert "apt install python3-pyverbs" in finding.cure


def test_extension_built_without_verbs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the loader says, split into what and cure."""

    class WithoutVerbs:
        def rq_verbs_built(self) -> int:
            return 0

        def __getattr__(self, name: str) -> object:
            return getattr(_fast.lib, name)

    monkeypatch.setattr(library, "lib", WithoutVerbs())
    finding = found(machine(tmp_path), "extension")
    assert finding.level == NOTE
    assert finding.cure


@pytest.mark.parametrize(
    ("without", "what"),
    [
        (("sys/class/infiniband", "sys/module/ib"), "ib_core, ib_uverbs are not loaded"),
        (("sys/class/infiniband",), "mlx5_ib found none"),
        (("sys/class/infiniband", "sys/module/mlx5"), "no driver of one is loaded"),
    ],
)
def test_absent_device_is_told_with_what_is_missing(
    tmp_path: Path, without: tuple[str, ...], what: str
) -> None:
    """No module, no adapter, no driver: three causes."""
    finding = found(machine(tmp_path, without=without), "devices")
    assert finding.level == NOTE
    assert what in finding.what
    assert "modprobe" in finding.cure


def test_device_that_programs_cannot_open_is_bad(tmp_path: Path) -> None:
    """A device without ib_uverbs."""
    finding = found(machine(tmp_path, without=("sys/module/ib_uverbs",)), "devices")
    assert finding.level == BAD
    assert "modprobe ib_uverbs" in finding.cure


def test_counter_that_the_kernel_gave_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel uses another clock than the one that frames are stamped with."""
    monkeypatch.setattr(findings, "clock_kind", lambda: "tsc")
    where = machine(
        tmp_path, sys__devices__system__clocksource__clocksource0__current_clocksource="hpet"
    )
    finding = found(where, "clock")
    assert finding.level == NOTE
    assert "hpet" in finding.what


def test_runtime_folder_that_cannot_be_made_is_bad_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints the cure and ends with 1."""
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", "/proc/1/rdmaq")
    assert run(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "BAD" in output
    assert "cure: set RDMAQ_RUNTIME_DIR" in output


def test_info_tells_what_is_in_force_and_keeps_the_token_to_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Environment over default, as JSON and in words."""
    monkeypatch.setenv("RDMAQ_TOKEN", "a-token-that-nobody-sees")
    monkeypatch.setenv("RDMAQ_TLS_CA", "/somewhere/ca.pem")
    assert run(["info", "--json"]) == 0
    output = capsys.readouterr().out
    facts = json.loads(output)
    settings = {setting["variable"]: setting for setting in facts["settings"]}
    assert settings["RDMAQ_TLS_CA"]["value"] == "/somewhere/ca.pem"
    assert settings["RDMAQ_TLS_CA"]["source"] == "environment"
    assert settings["RDMAQ_TLS_KEY"]["source"] == "default"
    assert settings["RDMAQ_RUNTIME_DIR"]["value"] == os.environ["RDMAQ_RUNTIME_DIR"]
    assert facts["transports"]["shm"] == "usable"
    assert run(["info"]) == 0
    output += capsys.readouterr().out
    assert "/somewhere/ca.pem  [environment]" in output
    assert "nobody-sees" not in output


def test_every_variable_that_the_code_reads_is_told() -> None:
    """The sources' RDMAQ_* against the list, less what is the rig's and the build's own."""
    root = Path(__file__).parents[2]
    from rdmaq.config import SETTINGS

    told = {setting.variable for setting in SETTINGS}
    for variable in ("RDMAQ_TOKEN", "RDMAQ_INSECURE", "RDMAQ_TLS_SERVER_NAME"):
        assert variable in told
    credentials = (root / "rdmaq/bootstrap/credentials.py").read_text()
    for line in credentials.splitlines():
        if line.strip().startswith('"') and '": "RDMAQ_' in line:
            assert line.split('"')[3] in told
