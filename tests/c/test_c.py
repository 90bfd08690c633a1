"""The C tests: every program of this folder, built plain and with sanitizers, is a test here."""

from __future__ import annotations

import fcntl
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
BUILDS = FOLDER.parents[1] / ".build"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.c"))
PRESETS = ("plain", "asan-ubsan")


def run(command: list[str], log: Path) -> None:
    """Run a build step; its words are shown only when it fails."""
    bin_folder = Path(sys.prefix) / "bin"
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    with log.open("w") as output:
        status = subprocess.run(
            command, cwd=FOLDER, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    assert status == 0, f"{' '.join(command)} failed in {FOLDER}:\n{log.read_text()}"


@functools.cache
def build(preset: str) -> Path:
    """Build all programs of a preset, once a run; return the folder that holds them.

    A missing sanitizer runtime fails here: gcc brings it, so it is a broken compiler, not a choice.
    """
    BUILDS.mkdir(exist_ok=True)
    with (BUILDS / f"c-{preset}.lock").open("w") as lock:
        # Two test runs in one checkout build one after the other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(["cmake", "--preset", preset], BUILDS / f"c-{preset}-configure.log")
        run(["cmake", "--build", str(BUILDS / f"c-{preset}")], BUILDS / f"c-{preset}-build.log")
    return BUILDS / f"c-{preset}"


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes(program: str, preset: str) -> None:
    """Run the program; a failed check or a sanitizer's finding makes its status other than 0."""
    options = {
        "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    result = subprocess.run(
        [build(preset) / program],
        env=os.environ | options,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=100,
    )
    assert result.returncode == 0, (
        f"{program} ({preset}) gave {result.returncode}:\n{result.stdout}"
    )
