"""The half of the pytest plugin that runs on the host: it has marked tests run inside a rig.

All marked tests run in one pytest of one guest, in the order that the host's pytest has them; each
of the host's items waits for the reports of its own.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rdmaq.errors import RdmaqError
from rdmaq.rig import frames, lifecycle, running, state
from rdmaq.rig.lifecycle import Wish
from rdmaq.rig.paths import checkout_of, rig_name
from rdmaq.rig.remote_tests import INNER, MARK, command
from rdmaq.rig.session import Session
from rdmaq.rig.shadows import shadows_of

DEATHS_MAX = 3
CHATTER_LINES_MAX = 60
_DMESG_MARK = "rdmaq-rig: tests begin"

# What a kernel says when something is broken. "Call Trace" alone is part of each of these.
KERNEL_COMPLAINT = re.compile(
    r"WARNING: |BUG: |kernel BUG at|\bOops\b|general protection fault|Kernel panic"
    r"|UBSAN|KASAN|lockdep|blocked for more than|soft lockup|rcu.*detected stalls"
)

# Of our own arguments, those that mean this run and not the tests: with their values left out.
_OWN_FLAGS = {
    "--rdmaq-rig",
    "--lf",
    "--last-failed",
    "--ff",
    "--failed-first",
    "--nf",
    "--sw",
    "--stepwise",
    "-x",
    "--exitfirst",
    "--pdb",
    "--trace",
    "--co",
    "--collect-only",
}
_OWN_VALUES = {"--junitxml", "--junit-xml", "--maxfail", "--log-file", "-n", "--numprocesses",
               "--dist", "--rootdir", "-c", "--durations", "-k", "-m",
               "--rdmaq-rig-kernel"}  # fmt: skip


def inner_arguments(words: Sequence[str], positional: Iterable[str]) -> list[str]:
    """Return the arguments of this run that the guest's run should have too."""
    kept, places, skip_next = [], set(positional), False
    for word in words:
        name, has_value, _ = word.partition("=")
        if skip_next:
            skip_next = False
        elif name in _OWN_VALUES:
            skip_next = not has_value
        elif word not in _OWN_FLAGS and word not in places:
            kept.append(word)
    return kept


class GuestRun:
    """One pytest in a guest; gives its messages in order, and its last words when it dies."""

    def __init__(self, rig: state.State, config: pytest.Config, items: Sequence[pytest.Item]):
        arguments = inner_arguments(config.invocation_params.args, config.args)
        arguments += [f"--rootdir={config.rootpath}"]
        if config.inipath is not None:
            arguments += ["-c", str(config.inipath)]
        arguments += dict.fromkeys(str(item.path) for item in items)
        environment = {**os.environ, INNER: "1", "PYTHONUNBUFFERED": "1"}
        environment.pop("PYTEST_CURRENT_TEST", None)
        self._session: Session = running.open_session(
            rig,
            command(arguments),
            folder=config.invocation_params.dir,
            environment=environment,
        )
        self._session.send_input(json.dumps([item.nodeid for item in items]).encode())
        self._session.send_input(b"")
        self._is_shown = config.option.capture == "no"  # -s: whoever asks wants to see it
        self.chatter: deque[str] = deque(maxlen=CHATTER_LINES_MAX)
        self._messages = self._read()

    def _read(self) -> Iterator[dict[str, Any]]:
        pending = b""
        for kind, data in self._session.events():
            if kind == frames.ERROR:
                self.chatter.extend(data.decode(errors="replace").splitlines())
                continue
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                if text.startswith(MARK):
                    yield json.loads(text.removeprefix(MARK))
                elif text.strip():
                    self.chatter.append(text)
                    if self._is_shown:
                        print(text, flush=True)

    def next_message(self) -> dict[str, Any] | None:
        """Return the next message, or None: the guest's pytest is gone.

        Raises:
            RdmaqError: the guest died.
        """
        return next(self._messages, None)

    def close(self) -> None:
        """End what still runs."""
        self._session.close()

    def last_words(self) -> str:
        """Return what it printed last beside its messages."""
        return "\n".join(self.chatter)


class RigRunner:
    """The plugin object: registered when `--rdmaq-rig` is given and this is the host."""

    def __init__(self, config: pytest.Config, kernel: str | None) -> None:
        self._config = config
        checkout = checkout_of(config.rootpath)
        self._wish = Wish(
            name=rig_name(checkout),
            checkout=checkout,
            kernel=kernel,
            shadows=shadows_of(checkout),
        )
        found = state.read(self._wish.name)
        self._was_up = found is not None and found.is_whole
        self._rig: state.State | None = None
        self._run: GuestRun | None = None
        self._remote: list[pytest.Item] = []
        self._deaths = 0
        self._trouble = ""  # why no more tests can run in the guest
        self.complaints: list[str] = []

    # ---- around the marked tests: no guest runs beside the others

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Note which tests go to the guest."""
        self._remote = [item for item in session.items if is_marked(item)]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Bring the rig up before the first marked test, and down after the last.

        This wraps what limits a test's time (pytest-timeout): no test pays for the rig.
        """
        if item in self._remote[:1]:
            self._begin(self._remote)
        result = yield
        if item in self._remote[-1:]:
            self._end()
        return result

    def _begin(self, items: Sequence[pytest.Item]) -> None:
        try:
            self._rig = lifecycle.up(self._wish)
            if self._was_up:
                running.forget_host_files(self._rig)
            mark = f"echo '{_DMESG_MARK}' > /dev/kmsg"
            running.run(self._rig, ["sh", "-c", mark], as_root=True, folder=Path("/"))
            self._run = GuestRun(self._rig, self._config, items)
            while message := self._run.next_message():
                if message["kind"] == "collected":
                    if message["absent"]:
                        self._trouble = f"the guest does not find {message['absent'][:5]}"
                    return
                if message["kind"] == "uncollected":
                    self._trouble = f"in the guest: {message['text']}"
            self._trouble = self._trouble or (
                f"the guest's pytest did not start:\n{self._run.last_words()}"
            )
        except RdmaqError as error:
            self._trouble = f"no rig: {error}"

    # ---- each marked test

    def run_in_guest(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Give the guest's reports of a marked test as our own."""
        if not is_marked(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports_of(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        # Fixtures of earlier tests on the host that the next one does not share.
        item.session._setupstate.teardown_exact(nextitem)
        return True

    def _reports_of(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        if self._trouble or self._run is None:
            yield _failure(item, self._trouble or "the guest's pytest is gone")
            return
        try:
            while message := self._run.next_message():
                if message["kind"] == "finished" and message["nodeid"] == item.nodeid:
                    return
                if message["kind"] == "report":
                    yield self._report(message["data"])
            why = f"the guest's pytest ended in the middle of this test:\n{self._run.last_words()}"
        except RdmaqError as error:
            why = f"{error}\n{self._console()}"
        yield _failure(item, why)
        self._restart_after(item)

    def _report(self, data: dict[str, Any]) -> pytest.TestReport:
        # JSON has no tuples, and pytest tells a skip by one: (file, line, reason).
        for name in ("longrepr", "location"):
            if isinstance(data.get(name), list):
                data[name] = tuple(data[name])
        report: pytest.TestReport = self._config.hook.pytest_report_from_serializable(
            config=self._config, data=data
        )
        return report

    def _restart_after(self, item: pytest.Item) -> None:
        self._deaths += 1
        rest = self._remote[self._remote.index(item) + 1 :]
        if self._run is not None:
            self._run.close()
            self._run = None
        if self._deaths >= DEATHS_MAX:
            self._trouble = f"the guest died {self._deaths} times; no more tests run in it"
        elif rest:
            self._begin(rest)

    def _console(self) -> str:
        if self._rig is None:
            return ""
        path = self._rig.node_folder(0) / "console.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-40:])

    # ---- after the last test

    def _end(self) -> None:
        """Search the guest's kernel log, and leave the rig as it was found; once."""
        if self._run is not None:
            self._run.close()
        rig, self._run, self._rig = self._rig, None, None
        if rig is None:
            return
        try:
            self.complaints += kernel_complaints(rig)
        except RdmaqError as error:
            self.complaints += [f"the guest's kernel log cannot be read: {error}"]
        if not self._was_up:
            lifecycle.down(rig.name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a session of which the guest's kernel complained."""
        self._end()
        if self.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what the kernel complained about."""
        if self.complaints:
            terminalreporter.section("the guest's kernel complained", red=True)
            for line in self.complaints:
                terminalreporter.line(line)


def kernel_complaints(rig: state.State, node: int = 0) -> list[str]:
    """Return the complaints of a guest's kernel log since the tests began, with what follows."""
    answer = running.run(rig, ["dmesg"], node=node, as_root=True, folder=Path("/"))
    text = answer.stdout.decode(errors="replace")
    lines = text.rpartition(_DMESG_MARK)[2].splitlines()
    for number, line in enumerate(lines):
        if KERNEL_COMPLAINT.search(line):
            return lines[number : number + 40]
    return []


class GuestProtocol:
    """Runs marked tests by the runner; a plugin of its own, as an object has one hook of a name."""

    def __init__(self, runner: RigRunner) -> None:
        self._runner = runner

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Give the guest's reports of a marked test as our own."""
        return self._runner.run_in_guest(item, nextitem)


def is_marked(item: pytest.Item) -> bool:
    """Whether a test asks for an RDMA device."""
    return item.get_closest_marker("rdma") is not None


def _failure(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords={},
        outcome="failed",
        longrepr=why,
        when="call",
        duration=0.0,
    )
