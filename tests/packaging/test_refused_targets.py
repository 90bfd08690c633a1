"""CMake refuses what rdmaq is not made for, before anything is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A compiler that CMake believes without trying: what it would find out is written down.
TOOLCHAIN = """
set(CMAKE_SYSTEM_NAME {system})
set(CMAKE_SYSTEM_PROCESSOR somewhere)
set(CMAKE_C_COMPILER cc)
set(CMAKE_C_COMPILER_FORCED TRUE)
set(CMAKE_C_COMPILER_ID GNU)
set(CMAKE_C_STANDARD_COMPUTED_DEFAULT 11)
set(CMAKE_SIZEOF_VOID_P {pointer_bytes})
set(CMAKE_C_SIZEOF_DATA_PTR {pointer_bytes})
set(CMAKE_C_BYTE_ORDER {order})
"""


def configure(folder: Path, system: str, pointer_bytes: int, order: str) -> tuple[int, str]:
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(TOOLCHAIN.format(system=system, pointer_bytes=pointer_bytes, order=order))
    done = subprocess.run(
        [
            *(Path(sys.prefix) / "bin" / "cmake", "-S", ROOT, "-B", folder / "build"),
            *("-G", "Unix Makefiles", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("system", "pointer_bytes", "order", "words"),
    [
        ("Linux", 8, "BIG_ENDIAN", "rdmaq needs a little-endian target"),
        ("Linux", 4, "LITTLE_ENDIAN", "rdmaq needs a 64-bit target"),
        ("FreeBSD", 8, "LITTLE_ENDIAN", "rdmaq needs Linux"),
    ],
)
def test_build_for_a_target_that_cannot_work_is_refused_with_the_reason(
    tmp_path: Path, system: str, pointer_bytes: int, order: str, words: str
) -> None:
    status, said = configure(tmp_path, system, pointer_bytes, order)
    assert status != 0
    assert words in said


@pytest.mark.slow
def test_the_stub_is_not_what_is_refused(tmp_path: Path) -> None:
    """The control: with a good answer the same stub gets past those checks."""
    _, said = configure(tmp_path, "Linux", 8, "LITTLE_ENDIAN")
    assert "rdmaq needs" not in said


def test_build_for_a_free_threaded_python_is_refused_with_the_reason(tmp_path: Path) -> None:
    """An interpreter that says of itself what a free-threaded build says; and the same one without.

    No such build is at hand here, so its word for it is put into this one's mouth.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sysconfig\n"
        "if os.environ.get('FREE'): sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
    )
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    said = {}
    for free in ("", "1"):
        done = subprocess.run(
            [
                *(Path(sys.prefix) / "bin" / "cmake", "-S", ROOT, "-B", tmp_path / f"build{free}"),
                *("-G", "Unix Makefiles", f"-DPython_EXECUTABLE={python}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "FREE": free},
        )
        said[free] = " ".join(done.stdout.split())
        assert (done.returncode != 0) is bool(free), done.stdout
    assert "rdmaq cannot be built for a free-threaded Python" in said["1"]
    assert "free-threaded" not in said[""]
