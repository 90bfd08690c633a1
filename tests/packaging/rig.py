"""Clean environments, and what is built for them, made once a run."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".build" / "packaging"
_LEAST = (3, 11)


def run(*command: str | Path, cwd: Path = WORK, **variables: str) -> str:
    """Runs a command outside the checkout's environment; its words are the failure's text."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RDMAQ_", "VIRTUAL"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{command} gave {done.returncode}:\n{done.stdout}"
    return done.stdout


@functools.cache
def sdist() -> Path:
    """The source distribution of this checkout, made by its own build backend."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    program = (
        "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    )
    run(sys.executable, "-c", program, WORK, cwd=ROOT)
    (made,) = WORK.glob("rdmaq-*.tar.gz")
    return made


@functools.cache
def wheel() -> Path:
    """The wheel, built out of the source distribution (not out of the checkout)."""
    bin_folder = Path(sys.executable).parent
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", WORK, sdist()),
        PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    )
    (made,) = WORK.glob("rdmaq-*.whl")
    return made


@functools.cache
def pythons() -> dict[str, str]:
    """Every CPython >= 3.11 found on this machine, one of each version: "3.12" -> its program."""
    found: dict[str, str] = {}
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    managed = Path.home() / ".pyenv" / "versions"
    folders += [str(path / "bin") for path in sorted(managed.glob("3.*"))]
    probe = "import sys; print(*sys.version_info[:2], sys.implementation.name, sys.prefix)"
    for folder in folders:
        for path in sorted(Path(folder).glob("python3.*")):
            if not re.fullmatch(r"python3\.\d+", path.name) or "shims" in folder:
                continue
            done = subprocess.run([path, "-Ic", probe], capture_output=True, text=True)
            if done.returncode != 0 or Path(sys.prefix) == path.parents[1]:
                continue
            major, minor, name, _ = done.stdout.split(maxsplit=3)
            if name == "cpython" and (int(major), int(minor)) >= _LEAST:
                found.setdefault(f"{major}.{minor}", str(path))
    return found


def make_environment(python: str, *arguments: str | Path) -> tuple[Path, str]:
    """A new virtual environment with `pip install ARGUMENTS`; its Python, and what pip said."""
    folder = Path(tempfile.mkdtemp(prefix="venv-", dir=WORK))
    run(python, "-m", "venv", folder)
    inside = folder / "bin" / "python"
    return inside, run(inside, "-m", "pip", "install", *arguments)


def readme_example() -> str:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    return block[1]
