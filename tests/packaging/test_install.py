"""What a user gets: a wheel and a source distribution that work where nothing was prepared."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging import rig

EXAMPLE_SAYS = "[1012500 1012600] 1 ["
PROGRAM = Path(__file__).parent / "sample_program.py"


def run_example(python: Path) -> None:
    """The README's first example, away from the checkout, every warning an error."""
    said = rig.run(python, "-W", "error", "-c", rig.readme_example())
    assert said.startswith(EXAMPLE_SAYS), said


def test_wheel_is_abi3_and_holds_types_and_services() -> None:
    assert rig.wheel().name.endswith("-cp311-abi3-linux_x86_64.whl")
    names = set(zipfile.ZipFile(rig.wheel()).namelist())
    assert {"rdmaq/_ext.abi3.so", "rdmaq/_ext.pyi", "rdmaq/py.typed"} <= names
    assert "rdmaq_services/market_data/cli.py" in names
    assert not any(name.startswith(("tests/", "csrc/")) for name in names)


def test_sdist_builds_without_files_that_git_ignores() -> None:
    with tarfile.open(rig.sdist()) as archive:
        names = archive.getnames()
    assert not any("/.build/" in name or name.endswith((".so", ".pyc")) for name in names)
    assert any(name.endswith("/csrc/include/rdmaq_abi.h") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("version", sorted(rig.pythons()))
def test_one_wheel_runs_the_readme_example_on_every_python_here(version: str) -> None:
    """A clean environment per interpreter, dependencies as wheels, and no pyverbs anywhere."""
    python, _ = rig.make_environment(
        rig.pythons()[version], "--quiet", "--only-binary=:all:", rig.wheel()
    )
    run_example(python)
    search = "import importlib.util as u; print(u.find_spec('pyverbs'))"
    assert rig.run(python, "-c", search) == "None\n"
    assert "Usage" in rig.run(python.parent / "rdmaq", "--help")
    assert "Usage" in rig.run(python.parent / "rdmaq-md", "--help")


@pytest.mark.slow
def test_sdist_installs_where_nothing_is_prepared_and_new_warnings_stop_nobody() -> None:
    """Pip builds it in isolation, with the build tools that pyproject.toml names."""
    python, said = rig.make_environment(
        *(rig.pythons()["3.11"], "-v", "--config-settings", "build.verbose=true", rig.sdist())
    )
    assert "-Wconversion" in said, "the compiler's command lines must be seen here"
    assert "-Werror" not in said
    run_example(python)


@pytest.mark.slow
def test_sample_program_is_clean_under_mypy_strict_against_the_wheel() -> None:
    """Mypy sees only the installed package, as a user's does; a wrong call is found."""
    python, _ = rig.make_environment(sys.executable, "--quiet", "--only-binary=:all:", rig.wheel())
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable"]
    cache = ["--cache-dir", str(rig.WORK / "mypy")]
    rig.run(*command, python, *cache, PROGRAM)
    wrong = rig.WORK / "wrong_program.py"
    wrong.write_text(PROGRAM.read_text().replace("max_messages=1024", 'max_messages="many"'))
    done = subprocess.run(
        [*command, python, *cache, wrong], cwd=rig.WORK, capture_output=True, text=True
    )
    assert "max_messages" in done.stdout
    assert done.returncode == 1
