"""What every test may use, and the report of skipped tests."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
ALLOWED_SKIPS = ROOT / "ci" / "allowed_skips.txt"
SHARED_DATA = ROOT.parent / "shared" / "data"

# Timing belongs to benchmarks: no deadline, and no health check that takes a loaded machine, or a
# guest that stood still for a minute, for a slow strategy. A failure prints what reproduces it.
settings.register_profile(
    "rdmaq", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rdmaq")


@pytest.fixture(autouse=True)
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of the test's own: no test meets another's nodes, nor the user's.

    Its path is short, since a UNIX socket's may have 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="rq-"))
    monkeypatch.setenv("RDMAQ_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data that may stand beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("market data of ../shared not present")
    return SHARED_DATA


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help="fail the run on a skip whose reason is not in ci/allowed_skips.txt (default in CI)",
    )


class SkipReport:
    """Collects every skip with its reason, prints them at the end, and judges them in CI."""

    def __init__(self, strict: bool, allowed: list[re.Pattern[str]]) -> None:
        self.strict = strict
        self.allowed = allowed
        self.skips: list[tuple[str, str]] = []

    def unlisted(self) -> list[tuple[str, str]]:
        return [s for s in self.skips if not any(p.fullmatch(s[1]) for p in self.allowed)]

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        # An expected failure is reported as skipped too, but it did run.
        if report.skipped and not hasattr(report, "wasxfail"):
            detail = report.longrepr
            reason = detail[2] if isinstance(detail, tuple) else str(detail)
            self.skips.append((report.nodeid, reason.removeprefix("Skipped: ")))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.strict and self.unlisted() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.skips:
            return
        terminalreporter.section("skipped tests and why")
        for test, reason in self.skips:
            terminalreporter.line(f"{test}: {reason}")
        if self.strict:
            for test, reason in self.unlisted():
                terminalreporter.line(
                    f"error: {test} was skipped for a reason that ci/allowed_skips.txt does not "
                    f"list for CI: {reason}; make it run, or list the reason there with a why",
                    red=True,
                )


def allowed_reasons(text: str) -> list[re.Pattern[str]]:
    """The reasons that pass in CI: those behind "! " are for people's machines only."""
    lines = (line.strip() for line in text.splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith(("#", "! "))]


def pytest_configure(config: pytest.Config) -> None:
    # A shell without job control lets what it runs in the background ignore Ctrl-C; with a handler
    # here, our children begin with the default, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    allowed = allowed_reasons(ALLOWED_SKIPS.read_text(encoding="utf-8"))
    config.pluginmanager.register(SkipReport(config.getoption("--strict-skips"), allowed))
