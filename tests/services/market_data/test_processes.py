"""However a replay ends, it says so, and leaves no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rdmaq_services.market_data import subscribers
from rdmaq_services.market_data.capture_write import write_capture
from rdmaq_services.market_data.datagrams import Datagram
from rdmaq_services.market_data.feed import FeedOptions, SyntheticFeed, open_capture_feed
from rdmaq_services.market_data.lines import LineFaults
from rdmaq_services.market_data.moldudp64 import pack
from rdmaq_services.market_data.publish import PublishedSession
from rdmaq_services.market_data.replay import Replay, ReplaySettings

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
# Lasts for minutes unless it is ended.
LONG = ("replay", "--messages", 10_000_000, "--speed", 1, "--subscribers", 3)
DEADLINE_SECONDS = 60.0


def wait_for(what: Callable[[], Any]) -> Any:
    """Waits until something is true, and gives it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found


def children(pid: int) -> list[int]:
    """The children of a process's main thread."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def attached(process: subprocess.Popen[str]) -> list[int]:
    """Waits until the three subscribers read the ring, and gives their process ids."""

    def have_ring() -> list[int]:
        found = [pid for pid in children(process.pid) if _maps_ring(pid)]
        return found if len(found) == 3 else []

    found: list[int] = wait_for(have_ring)
    for pid in found:
        wait_reading(pid)
    return found


def wait_reading(pid: int) -> None:
    """Waits until a process has mapped the ring, and has slept and woken some more since."""
    wait_for(lambda: _maps_ring(pid))
    sleeps = _sleep_count(pid)
    wait_for(lambda: _sleep_count(pid) > sleeps + 10)


def _maps_ring(pid: int) -> bool:
    try:
        return "memfd:" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _sleep_count(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_replay_told_to_end_ends_in_order(
    start_rdmaq_md: Start, number: int, status: int, words: str
) -> None:
    process = start_rdmaq_md(*LONG)
    pids = attached(process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == status
    assert errors.strip().startswith(words)
    assert "Traceback" not in errors
    assert not any(is_alive(pid) for pid in pids)


def test_subscribers_end_with_a_replay_that_is_killed(start_rdmaq_md: Start) -> None:
    """Even one that is stopped, and could not notice by itself."""
    process = start_rdmaq_md(*LONG)
    pids = attached(process)
    os.kill(pids[0], signal.SIGSTOP)
    process.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_death_of_a_subscriber_is_told_and_harms_no_other(
    start_rdmaq_md: Start, synthetic_lines: Any
) -> None:
    process = start_rdmaq_md("replay", synthetic_lines.capture, "--speed", 1, "--subscribers", 3)
    pids = attached(process)
    os.kill(pids[1], signal.SIGKILL)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1, errors
    assert "killed by SIGKILL" in output
    assert "NOT conserved" in output
    assert output.count(f"{synthetic_lines.messages:,}") >= 1
    assert "Traceback" not in errors


def test_stream_is_published_and_subscribed_to_from_two_shells(
    start_rdmaq_md: Start, rdmaq_md: Run, synthetic_lines: Any
) -> None:
    """The subscriber may start first, and the two agree on every message."""
    address = f"local:md-{os.getpid()}"
    subscriber = start_rdmaq_md("subscribe", address, "--timeout", 60, "--json")
    published = rdmaq_md(
        "publish", synthetic_lines.capture, "--address", address, "--wait-subscribers", 1, "--json"
    )
    assert published.returncode == 0, published.stderr
    output, errors = subscriber.communicate(timeout=DEADLINE_SECONDS)
    assert subscriber.returncode == 0, errors
    said, heard = json.loads(published.stdout), json.loads(output)
    assert heard["messages"] == said["published"]
    assert heard["lost_ranges"] == said["lost_ranges"] == synthetic_lines.lost_both
    assert heard["counts_by_type"] == synthetic_lines.counts_by_type


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("where", ["local", "port"])
def test_subscriber_follows_session_after_session(
    start_rdmaq_md: Start, rdmaq_md: Run, tmp_path: Path, where: str
) -> None:
    """Three incarnations of one stream: the publisher waits for its follower, which has all."""
    path, line = tmp_path / "multi.pcap", "239.1.1.1:5000"
    address = f"local:md-3-{os.getpid()}" if where == "local" else f"127.0.0.1:{free_port()}"
    datagrams = [
        Datagram(10**18 + index * 50_000_000, line, pack(session, sequence, [b"A" * 36]))
        for index, (session, sequence) in enumerate(
            (session, sequence) for session in ("ONE", "TWO", "THREE") for sequence in (1, 2, 4, 5)
        )
    ]
    write_capture(path, datagrams)
    subscriber = start_rdmaq_md("subscribe", address, "--timeout", 60, "--json")
    published = rdmaq_md("publish", path, "--address", address, "--wait-subscribers", 1, "--json")
    assert published.returncode == 0, published.stderr
    assert published.stderr.count("waiting for 1 subscriber") >= 1
    assert "going on with" not in published.stderr
    output, errors = subscriber.communicate(timeout=DEADLINE_SECONDS)
    assert subscriber.returncode == 0, errors
    heard = json.loads(output)
    assert [session["messages"] for session in heard["sessions"]] == [4, 4, 4]
    assert [session["lost_ranges"] for session in heard["sessions"]] == [[[3, 3]]] * 3
    assert heard["messages"] == json.loads(published.stdout)["published"] == 12


def test_publisher_that_is_killed_is_an_error_with_what_came_before(
    start_rdmaq_md: Start,
) -> None:
    address = f"local:md-gone-{os.getpid()}"
    publisher = start_rdmaq_md(
        "publish", "--messages", 10_000_000, "--speed", 1, "--address", address,
        "--wait-subscribers", 1,
    )  # fmt: skip
    subscriber = start_rdmaq_md("subscribe", address, "--timeout", 60, "--json")
    wait_reading(subscriber.pid)
    publisher.kill()
    output, errors = subscriber.communicate(timeout=DEADLINE_SECONDS)
    assert subscriber.returncode == 2
    assert re.fullmatch(r"error: the publisher .+ is gone: .+; .+", errors.splitlines()[-1])
    assert "Traceback" not in errors
    assert '"messages"' in output


def test_subscriber_told_to_end_tells_what_it_got(start_rdmaq_md: Start) -> None:
    address = f"local:md-told-{os.getpid()}"
    start_rdmaq_md(
        "publish", "--messages", 10_000_000, "--speed", 1, "--address", address,
        "--wait-subscribers", 1,
    )  # fmt: skip
    subscriber = start_rdmaq_md("subscribe", address, "--timeout", 60, "--json")
    wait_reading(subscriber.pid)
    subscriber.send_signal(signal.SIGINT)
    output, errors = subscriber.communicate(timeout=DEADLINE_SECONDS)
    assert subscriber.returncode == 130
    assert "Traceback" not in errors
    assert "messages" in json.loads(output)


def test_files_of_a_replay_that_was_killed_are_taken_over_by_the_next_one(
    start_rdmaq_md: Start, rdmaq_md: Run, runtime_dir: Path
) -> None:
    for _ in range(2):
        process = start_rdmaq_md(*LONG)
        attached(process)
        process.kill()
        process.wait()
        left = {path.name for path in runtime_dir.iterdir()}
        assert left == {"rdmaq-md-1.sock", "rdmaq-md-1.lock"}
    assert rdmaq_md("replay", "--messages", 1_000, "--subscribers", 1).returncode == 0
    assert not list(runtime_dir.iterdir())


def test_subscriber_killed_between_two_sessions_is_told_as_killed(tmp_path: Path) -> None:
    """The others read the second session, too."""

    class Killing(Replay):
        def _collect(self, session: PublishedSession) -> None:
            super()._collect(session)
            if session.session == "ONE":
                self.processes[0].send_signal(signal.SIGKILL)

    path, line = tmp_path / "two.pcap", "239.1.1.1:5000"
    write_capture(path, [Datagram(10**18, line, pack(s, 1, [b"A" * 36])) for s in ("ONE", "TWO")])
    with open_capture_feed(path, FeedOptions()) as feed:
        replay = Killing(feed, ReplaySettings(subscribers=2))
        replay.run()
    killed, whole = replay.accounts()
    assert killed.died == "killed by SIGKILL"
    assert not killed.conserved
    assert (whole.died, whole.conserved, whole.report["messages"]) == (None, True, 2)


def test_subscriber_that_stands_still_is_given_up_and_not_told_as_killed_by_somebody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribers, "STALL_SECONDS_MAX", 0.3)
    feed = SyntheticFeed(1_000, 1, LineFaults(), FeedOptions())
    replay = Replay(feed, ReplaySettings(subscribers=1))
    replay.run(on_begin=lambda: replay.processes[0].send_signal(signal.SIGSTOP))
    (stopped,) = replay.accounts()
    assert stopped.died is not None
    assert "given up" in stopped.died
    assert not stopped.conserved
    assert not is_alive(replay.processes[0].pid)


@pytest.mark.slow
def test_demo_stops_one_kills_one_and_the_rest_lose_nothing(rdmaq_md: Run) -> None:
    finished = rdmaq_md("demo", "--messages", 450_000)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for words in (
        "SIGSTOP",
        "SIGCONT",
        "SIGKILL",
        "lost nothing else",
        "conserved: ",
        "bench latency",
    ):
        assert words in finished.stdout
