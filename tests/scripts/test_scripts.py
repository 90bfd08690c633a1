"""What a person types: wrong words are answered by cause and cure, from any folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / name), *arguments]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("name", "argument", "cure"),
    [("stress", "no-such-run", "choose one of"), ("lint", "--no-such-option", "use: scripts/lint")],
)
def test_wrong_argument_is_an_error_with_a_cure(
    tmp_path: Path, name: str, argument: str, cure: str
) -> None:
    result = run(tmp_path, name, argument)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert argument in result.stderr
    assert cure in result.stderr


@pytest.mark.parametrize("name", ["test", "stress"])
def test_help_needs_no_environment_and_names_the_options(tmp_path: Path, name: str) -> None:
    result = run(tmp_path, name, "--help")
    assert result.returncode == 0
    assert f"scripts/{name}" in result.stdout
    assert "source" not in result.stdout
