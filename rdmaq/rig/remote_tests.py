"""The half of the pytest plugin that runs inside a guest: it reports each test to the host's half.

A message is one line of standard output: a mark that no test prints by chance, then JSON. Whatever
else comes there is passed through or kept for the case that something goes wrong.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest

MARK = "\x1erdmaq-rig "
INNER = "RDMAQ_RIG_INNER"  # set in the environment of a run that reports to a host


class Reporter:
    """Selects the tests that the host wants and sends every report to it.

    It is made before pytest captures standard output, and takes the wanted node ids from standard
    input (a JSON array).
    """

    def __init__(self) -> None:
        self._output = os.dup(1)
        with os.fdopen(os.dup(0), encoding="utf-8") as stdin:
            self._wanted: set[str] = set(json.load(stdin))

    def _send(self, **message: Any) -> None:
        text = f"\n{MARK}{json.dumps(message, default=str)}\n".encode()
        while text:
            text = text[os.write(self._output, text) :]

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Leave to the host what only one of the two may do."""
        for name, value in (("xmlpath", None), ("dist", "no"), ("tx", []), ("usepdb", False)):
            if hasattr(config.option, name):
                setattr(config.option, name, value)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what the host wants, and tell it what is not there."""
        items[:] = [item for item in items if item.nodeid in self._wanted]
        absent = self._wanted - {item.nodeid for item in items}
        self._send(kind="collected", absent=sorted(absent))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported in the guest is the failure of its tests."""
        if report.failed:
            self._send(kind="uncollected", nodeid=report.nodeid, text=report.longreprtext)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send one phase of one test."""
        config = self._config
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
        self._send(kind="report", data=data)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Send that a test is done with."""
        self._send(kind="finished", nodeid=nodeid)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep the configuration, which serialises reports."""
        self._config = session.config

    def pytest_unconfigure(self) -> None:
        """Say goodbye: what ends without it died."""
        self._send(kind="end")


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs the inner pytest, with the interpreter that we run in."""
    return [
        sys.executable, "-m", "pytest", *arguments, "--no-header", "--no-summary", "-q",
        "-o", "cache_dir=/tmp/rdmaq-pytest-cache",
    ]  # fmt: skip
