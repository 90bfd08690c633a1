"""The ring's C tests on AArch64: cross-compiled, run under qemu-user.

qemu-user translates Arm's loads and stores to x86's, which are ordered more strictly, so a missing
fence cannot show here. What shows is everything else: sizes, alignment, atomics, generic ticks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".build" / "c-aarch64"
PROGRAMS = sorted(path.stem for path in ROOT.glob("tests/c/*.c"))
TOOLS = ("aarch64-linux-gnu-gcc", "qemu-aarch64")
SYSROOT = "/usr/aarch64-linux-gnu"


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_c_program_passes_on_emulated_aarch64(program: str) -> None:
    """Build with every warning an error, run, expect status 0."""
    if os.environ.get("CI") != "true" and not all(map(shutil.which, TOOLS)):
        pytest.skip("aarch64 cross compiler and qemu-user not present")
    BUILD.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
    includes = ["-I", str(ROOT / "csrc"), "-I", str(ROOT / "csrc" / "include")]
    own = [*ROOT.glob("csrc/ring/*.c"), *ROOT.glob("csrc/region/*.c")]
    sources = [*sorted(own), ROOT / "tests" / "c" / f"{program}.c"]
    compiler, emulator = TOOLS
    subprocess.run(
        [compiler, *flags, *includes, *sources, "-o", BUILD / program, "-pthread"], check=True
    )
    result = subprocess.run(
        [emulator, "-L", SYSROOT, BUILD / program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stdout
