"""Breaks a guest in ways that a test can undo, and asks doctor there."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rdmaq.doctor.checks import examine
from rdmaq.doctor.finding import Finding
from rdmaq.doctor.machine import Machine

RXE = Path("/sys/class/infiniband")
_NOBODY = 65534
_CLONE_NEWNS = 0x20000  # linux/sched.h
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000  # linux/mount.h
_libc = ctypes.CDLL(None, use_errno=True)

# Done in a child alone, before doctor looks.
Step = Callable[[], object]


def run(*words: str, text: str | None = None) -> str:
    """A command of the guest's, which must succeed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    answer = subprocess.run(
        words, input=text, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    assert answer.returncode == 0, f"{' '.join(words)}: {answer.stderr}"
    return answer.stdout


@contextmanager
def broken(*words: str, mend: Sequence[str]) -> Iterator[None]:
    """Runs a command, and another afterwards that undoes it."""
    run(*words)
    try:
        yield
    finally:
        run(*mend)


DROP = """
table inet test {{
    chain {hook} {{
        type filter hook {hook} priority 0; policy accept;
        {which} drop
    }}
}}
"""


@contextmanager
def dropped(which: str, hook: str = "input") -> Iterator[None]:
    """Some packets get lost before they come in, at either end, and nobody says so.

    Args:
        which: a condition, in nft's words.
        hook: "input", or "output" for what is about to leave: then the sender is told.
    """
    run("nft", "-f", "-", text=DROP.format(which=which, hook=hook))
    try:
        yield
    finally:
        run("nft", "delete", "table", "inet", "test")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    words = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None)
    if _libc.mount(*words) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _private_mounts() -> None:
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)


def emptied(folder: str | Path, *names: str) -> Step:
    """A folder that holds nothing but some empty folders."""

    def step() -> None:
        _mount("none", str(folder), "tmpfs", 0)
        for name in names:
            (Path(folder) / name).mkdir()

    return step


def replaced(path: str | Path, text: str, tmp_path: Path) -> Step:
    """A file that says something else."""
    source = tmp_path / str(abs(hash(path)))
    source.write_text(text)
    return lambda: _mount(str(source), str(path), "", _MS_BIND)


def as_nobody() -> None:
    """An ordinary user, without any right, in a runtime folder of its own."""
    os.environ.pop("RDMAQ_RUNTIME_DIR", None)
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def locked(soft: int, hard: int) -> Step:
    """A limit of locked memory, in bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))


def findings_after(*steps: Step) -> list[Finding]:
    """What doctor says in a child that went through these steps, with mounts of its own."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _private_mounts()
            for step in steps:
                step()
            answer: object = examine(Machine())
        except BaseException as error:  # told by the parent
            answer = repr(error)
        with os.fdopen(there, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        found = pickle.load(pipe)
    os.waitpid(child, 0)
    assert isinstance(found, list), found
    return found


def findings_of_a_new_process(*steps: Step) -> list[Finding]:
    """The same by the command itself, in a process that has imported nothing yet."""

    def prepare() -> None:
        _private_mounts()
        for step in steps:
            step()

    answer = subprocess.run(
        [sys.executable, "-c", "from rdmaq.cli import main; main()", "doctor", "--json"],
        stdout=subprocess.PIPE,
        preexec_fn=prepare,
    )
    return [Finding(**finding) for finding in json.loads(answer.stdout)["findings"]]


def the(findings: Sequence[Finding], symptom: str) -> Finding:
    """The first finding of a symptom, which there must be."""
    found = [finding for finding in findings if finding.symptom == symptom]
    if not found:
        pytest.fail(f"no {symptom} among {[finding.what for finding in findings]}")
    return found[0]


def names(findings: Sequence[Finding]) -> set[str]:
    """All symptoms."""
    return {finding.symptom for finding in findings} - {""}


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 160),
    )  # fmt: skip


_ADJ_MAXERROR, _ADJ_STATUS, _STA_UNSYNC = 0x04, 0x10, 0x40  # linux/timex.h


def set_clock_synchronised(is_synchronised: bool) -> None:
    """Tells the kernel what a time service would."""
    timex = _Timex(modes=_ADJ_MAXERROR | _ADJ_STATUS, status=0 if is_synchronised else _STA_UNSYNC)
    assert _libc.adjtimex(ctypes.byref(timex)) >= 0
