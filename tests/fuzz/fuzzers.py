"""Building and running the libFuzzer targets of this folder, under AddressSanitizer and UBSan."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
BUILD = ROOT / ".build" / "fuzz"
TARGETS = sorted(path.stem for path in FOLDER.glob("*.c"))

_INPUT_BYTES_MAX = 512
_SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
# Stepped, so that a target can act within a call; searches that end soon, for they only repeat.
_STEPPED = ["-DRQ_STEPPED", "-DRESYNC_TRIES_MAX=3", "-DPASSED_OVER_MAX=128"]
_FLAGS = [*_STEPPED, "-g", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", *_SANITIZERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run ended: `input_count` inputs were tried; a failure left its input in `kept`."""

    passed: bool
    input_count: int
    text: str
    kept: list[Path]


def has_clang() -> bool:
    """True where clang is installed with libFuzzer (Debian: clang and libclang-rt-dev)."""
    compiler = shutil.which("clang")
    if compiler is None:
        return False
    command = [compiler, "-fsanitize=fuzzer", "-x", "c", "-", "-o", os.devnull]
    source = "int LLVMFuzzerTestOneInput(const char *b, long n){(void)b;(void)n;return 0;}"
    return subprocess.run(command, input=source.encode(), capture_output=True).returncode == 0


def build(target: str) -> Path:
    """Compiles one target with the ring's sources; the program stands below .build/."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / target
    sources = [*sorted(ROOT.glob("csrc/ring/*.c")), FOLDER / f"{target}.c"]
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        newest = max(p.stat().st_mtime for p in [*sources, *ROOT.glob("csrc/**/*.h")])
        if not program.exists() or program.stat().st_mtime < newest:
            includes = [f"-I{ROOT / 'csrc'}", f"-I{ROOT / 'csrc' / 'include'}"]
            subprocess.run(["clang", *_FLAGS, *includes, *sources, "-o", program], check=True)
    return program


def run(target: str, *, seconds: int = 0, input_count: int = 0, seed: int = 0) -> Outcome:
    """Fuzzes until the time or the number of inputs is over (0: no limit) or a claim breaks.

    Inputs that found something new are kept below .build/fuzz/, so the next run goes on there.
    """
    program = build(target)
    corpus, kept = BUILD / f"{target}-corpus", BUILD / f"{target}-kept"
    corpus.mkdir(exist_ok=True)
    kept.mkdir(exist_ok=True)
    limits = [f"-max_total_time={seconds}"] * bool(seconds) + [f"-runs={input_count}"] * bool(
        input_count
    )
    done = subprocess.run(
        [
            program,
            *limits,
            f"-seed={seed}",
            f"-max_len={_INPUT_BYTES_MAX}",
            f"-artifact_prefix={kept}/",
            "-timeout=10",
            "-print_final_stats=1",
            corpus,
            FOLDER / "seeds" / target,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    text = done.stdout
    executed = re.search(r"number_of_executed_units: (\d+)", text)
    return Outcome(
        passed=done.returncode == 0,
        input_count=int(executed[1]) if executed else 0,
        text=text,
        kept=sorted(kept.iterdir()),
    )
