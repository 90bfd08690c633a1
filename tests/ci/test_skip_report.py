"""Skipped tests are told with their reasons, and in CI only listed ones pass.

A run of pytest in a process of its own, with this tree's conftest, judges a tree of one test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = "market data of ../shared not present"


def run_pytest(folder: Path, reason: str, *options: str, ci: str = "") -> tuple[int, str]:
    (folder / "test_one.py").write_text(
        f"import pytest\ndef test_skipped():\n    pytest.skip({reason!r})\n"
        "def test_passed():\n    pass\n"
        "@pytest.mark.xfail(strict=True)\ndef test_expected_failure():\n    assert False\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        f"--rootdir={folder}",
        *options,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"CI": ci, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, "test_one.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    return result.returncode, result.stdout


def test_reason_is_printed_and_passes_by_hand(tmp_path: Path) -> None:
    status, output = run_pytest(tmp_path, "some whim")
    assert status == 0
    assert "test_one.py::test_skipped: some whim" in output


@pytest.mark.parametrize(("options", "ci"), [(["--strict-skips"], ""), ([], "true")])
def test_unlisted_reason_fails_in_ci(tmp_path: Path, options: list[str], ci: str) -> None:
    status, output = run_pytest(tmp_path, "some whim", *options, ci=ci)
    assert status == 1
    assert "error: test_one.py::test_skipped was skipped for a reason" in output
    assert "test_expected_failure" not in output
    assert "1 passed" in output.splitlines()[-1]


def test_reason_for_peoples_machines_passes_there_and_fails_in_ci(tmp_path: Path) -> None:
    reason = "no RDMA device here; run with --rdmaq-rig"
    assert run_pytest(tmp_path, reason)[0] == 0
    assert run_pytest(tmp_path, reason, ci="true")[0] == 1


def test_listed_reason_passes_in_ci(tmp_path: Path) -> None:
    status, output = run_pytest(tmp_path, LISTED, ci="true")
    assert status == 0
    assert f"test_one.py::test_skipped: {LISTED}" in output
