"""The pytest plugin, used by a project that knows nothing of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rdmaq.rig.host_tests import KERNEL_COMPLAINT, inner_arguments
from tests.rig.support import ROOT, need_qemu

SAMPLE = ROOT / "tests" / "rig" / "sample"


def run_sample(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "RDMAQ_"))}
    command = [sys.executable, "-m", "pytest", "-v", "-rs", *options]
    return subprocess.run(
        command, cwd=folder, env=environment | settings, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_marked_tests_run_in_the_rig_and_report_as_usual(tmp_path: Path) -> None:
    need_qemu()
    done = run_sample(tmp_path, "--rdmaq-rig", "--junitxml=report.xml")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    for test, outcome in (
        ("test_messages_cross_the_wire", "PASSED"),
        ("test_this_one_fails", "FAILED"),
        ("test_this_one_skips", "SKIPPED (needs an mlx5)"),
        ("test_of_the_host_runs_on_the_host", "PASSED"),
    ):
        assert f"test_wire.py::{test} {outcome}" in done.stdout
    # The failure is told as if it had happened here.
    assert "E       AssertionError: assert ['rxe0', 'rxe1'] == ['mlx5_0']" in done.stdout
    assert 'tests="4"' in (tmp_path / "report.xml").read_text()


def test_without_device_and_option_marked_tests_skip_with_a_reason(tmp_path: Path) -> None:
    done = run_sample(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no RDMA device here; run with --rdmaq-rig" in done.stdout


def test_a_named_device_that_is_missing_fails(tmp_path: Path) -> None:
    done = run_sample(tmp_path, RDMAQ_TEST_DEVICE="mlx5_7")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "RDMAQ_TEST_DEVICE names mlx5_7, and this machine has no RDMA device" in done.stdout


def test_own_arguments_stay_with_the_host() -> None:
    words = ["--rdmaq-rig", "-v", "tests/x.py", "--junitxml", "a.xml", "-k=a", "-o", "b=c", "-x"]
    assert inner_arguments(words, ["tests/x.py"]) == ["-v", "-o", "b=c"]


@pytest.mark.parametrize(
    ("line", "complains"),
    [
        ("[   12.3] WARNING: CPU: 0 PID: 9 at drivers/infiniband/sw/rxe/rxe_pool.c:234", True),
        ("[   12.3] BUG: kernel NULL pointer dereference, address: 0000000000000000", True),
        ("[   12.3] Oops: 0000 [#1] PREEMPT SMP", True),
        ("[    3.8] infiniband rxe0: set active", False),
        ("[    0.1] debugfs: no WARNINGs here", False),
    ],
)
def test_kernel_complaints_are_told_from_chatter(line: str, complains: bool) -> None:
    assert bool(KERNEL_COMPLAINT.search(line)) is complains
