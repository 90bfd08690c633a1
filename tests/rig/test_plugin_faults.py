"""What fails a session although each test would pass: an idle fault, a kernel that complains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.support import need_qemu

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDLE_AND_CRASH = """
import os, pytest

@pytest.mark.rdma
def test_nothing_meets_this_fault(rdma_fault):
    with rdma_fault("loss", "1%"):
        pass

@pytest.mark.rdma
@pytest.mark.parametrize("number", range(3))
def test_some(number):
    if number == 1:
        os.kill(os.getpid(), 9)
"""
COMPLAINT = """
import subprocess, sys, pytest

@pytest.mark.rdma
def test_before(rdma_devices):
    assert rdma_devices

def test_something_on_the_host_upsets_the_guest():
    shell = "echo '<4>WARNING: CPU: 0 at rxe.c:1 made up' >/dev/kmsg"
    words = ["exec", "--root", "sh", "-c", shell]
    program = "from rdmaq.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, "rig", *words], check=True)

@pytest.mark.rdma
def test_after(rdma_devices):
    assert rdma_devices
"""


def run_project(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    need_qemu()
    (folder / "test_it.py").write_text(text)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "RDMAQ_"))}
    command = [sys.executable, "-m", "pytest", "-v", "--rdmaq-rig", *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


def test_idle_fault_and_crash_each_fail_their_own_test_and_the_rest_runs(tmp_path: Path) -> None:
    done = run_project(tmp_path, IDLE_AND_CRASH)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "fault loss moved no counter: nothing of it met a packet" in done.stdout
    assert "ERROR test_it.py::test_nothing_meets_this_fault" in done.stdout
    for number, outcome in enumerate(("PASSED", "FAILED", "PASSED")):
        assert f"test_some[{number}] {outcome}" in done.stdout
    assert "the guest's pytest ended in the middle of this test" in done.stdout


def test_complaint_of_the_guests_kernel_alone_fails_the_session(tmp_path: Path) -> None:
    done = run_project(tmp_path, COMPLAINT)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "3 passed" in done.stdout
    assert "the guest's kernel complained" in done.stdout
    assert "WARNING: CPU: 0 at rxe.c:1 made up" in done.stdout


def test_several_workers_are_refused_with_the_cure(tmp_path: Path) -> None:
    """pytest-xdist is not needed for that: the option's name tells."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--numprocesses', type=int)\n"
    )
    done = run_project(tmp_path, COMPLAINT, "--numprocesses=2")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "leave xdist's -n out" in done.stderr
