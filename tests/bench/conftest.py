"""Running `rdmaq` inside the test's process; its children are real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rdmaq import cli
from rdmaq.bench.quiet import Watch

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on figures, so the CPUs need no half second of warming."""
    warm_up = Watch.warm_up
    monkeypatch.setattr(Watch, "warm_up", lambda watch: warm_up(watch, 1_000_000))


@pytest.fixture
def rdmaq_json(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `rdmaq ARGUMENTS --json`, which must succeed, and returns what it printed."""

    def run(*arguments: str) -> Any:
        code = cli.run([*arguments, "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    return run


@pytest.fixture
def rdmaq_error(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `rdmaq ARGUMENTS`, which must fail as every command fails, and returns its words."""

    def run(*arguments: str) -> str:
        code = cli.run(arguments)
        printed = capsys.readouterr()
        assert code == 2, printed.out
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        what, _, cure = printed.err.removeprefix("error: ").rpartition("; ")
        assert what
        assert cure
        return printed.err

    return run
