"""Several subscribers of one stream, each a process; nodes that others find by host and port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmaq import certs
from tests.services.market_data.test_processes import (
    children,
    is_alive,
    wait_for,
    wait_reading,
)

Start = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
DEADLINE_SECONDS = 60.0
LONG = ("--messages", 10_000_000, "--speed", 1)


def test_each_of_several_subscribers_gets_all_of_it(
    start_rdmaq_md: Start, rdmaq_md: Run, synthetic_lines: Any
) -> None:
    address = f"local:md-fan-{os.getpid()}"
    subscribers = start_rdmaq_md(
        "subscribe", address, "--timeout", 60, "--subscribers", 3, "--json"
    )
    published = rdmaq_md(
        "publish", synthetic_lines.capture, "--address", address, "--wait-subscribers", 3, "--json"
    )
    assert published.returncode == 0, published.stderr
    output, errors = subscribers.communicate(timeout=DEADLINE_SECONDS)
    assert subscribers.returncode == 0, errors
    heard = json.loads(output)["subscribers"]
    assert [report["number"] for report in heard] == [1, 2, 3]
    for report in heard:
        assert f"subscriber {report['number']}: subscribed to itch at {address} by shm" in errors
        assert report["messages"] == json.loads(published.stdout)["published"]
        assert report["lost_ranges"] == synthetic_lines.lost_both
        assert report["counts_by_type"] == synthetic_lines.counts_by_type
        assert (report["breaches"], report["died"], report["latency_by"]) == ([], None, "counter")
    assert json.loads(published.stdout)["sessions"][0]["subscribers"] == 3


def subscribed(start: Start, count: int) -> tuple[subprocess.Popen[str], list[int]]:
    """Several subscribers of a long feed, all of which read; their parent and their ids."""
    address = f"local:md-fan-{os.getpid()}"
    start("publish", *LONG, "--address", address, "--wait-subscribers", count)
    words = ("--timeout", 60, "--subscribers", count, "--json")
    parent = start("subscribe", address, *words)
    assert parent.stderr is not None
    for _ in range(count):  # each says that it has subscribed
        assert "subscribed to itch" in parent.stderr.readline()
    pids = children(parent.pid)
    for pid in pids:
        wait_reading(pid)
    return parent, pids


def test_subscriber_that_is_killed_is_told_and_harms_no_other(start_rdmaq_md: Start) -> None:
    """The others are asked to end then, and tell what they got."""
    parent, pids = subscribed(start_rdmaq_md, 3)
    os.kill(pids[1], signal.SIGKILL)
    parent.send_signal(signal.SIGTERM)
    output, errors = parent.communicate(timeout=DEADLINE_SECONDS)
    assert parent.returncode == 143, errors
    died = {report["number"]: report["died"] for report in json.loads(output)["subscribers"]}
    assert died == {1: None, 2: "killed by SIGKILL", 3: None}
    assert not any(is_alive(pid) for pid in pids)
    assert "Traceback" not in errors


def test_interrupted_subscribers_tell_what_they_got(start_rdmaq_md: Start) -> None:
    """Ctrl-C reaches all of them, as it does in a terminal."""
    parent, pids = subscribed(start_rdmaq_md, 2)
    for pid in (*pids, parent.pid):
        os.kill(pid, signal.SIGINT)
    output, errors = parent.communicate(timeout=DEADLINE_SECONDS)
    assert parent.returncode == 130, errors
    assert all(report["messages"] > 0 for report in json.loads(output)["subscribers"])
    assert "Traceback" not in errors


def test_subscribers_end_with_a_parent_that_is_killed(start_rdmaq_md: Start) -> None:
    parent, pids = subscribed(start_rdmaq_md, 2)
    parent.kill()
    parent.communicate(timeout=DEADLINE_SECONDS)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))


def test_several_that_find_no_publisher_say_why_once(rdmaq_md: Run) -> None:
    finished = rdmaq_md("subscribe", "local:nobody", "--subscribers", 3)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert re.fullmatch(
        r"error: none of 3 subscribers got anything: no node at local:nobody: .+; start .+\n",
        finished.stderr,
    )


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    certs.make(tmp_path, ["127.0.0.1"], days=1)
    return tmp_path


def shown(folder: Path, who: str) -> list[str]:
    """The options by which a side shows who it is, and asks the other."""
    return [
        *("--tls-ca", str(folder / "ca.pem"), "--tls-certificate", str(folder / f"{who}.pem")),
        *("--tls-key", str(folder / f"{who}.key"), "--token-file", str(folder / "token")),
    ]


def test_node_of_a_port_lets_in_who_shows_certificate_and_token(
    start_rdmaq_md: Start, rdmaq_md: Run, pki: Path
) -> None:
    """On loopback, where the bytes then go by shared memory; who shows less is refused in words."""
    (pki / "token").write_text("secret-of-the-feed-0\n", encoding="ascii")
    publisher = start_rdmaq_md(
        "publish", "--messages", 2000, "--address", "127.0.0.1:0", "--wait-subscribers", 1,
        *shown(pki, "node"), "--json",
    )  # fmt: skip
    assert publisher.stderr is not None
    found = re.search(r"publishing itch at (127\.0\.0\.1:\d+)", publisher.stderr.readline())
    assert found is not None
    address = found[1]
    for missing in ("--tls-certificate", "--token-file", "--tls-ca"):
        words = shown(pki, "peer")
        start = words.index(missing)
        del words[start : start + (4 if missing == "--tls-certificate" else 2)]
        refused = rdmaq_md("subscribe", address, *words)
        assert refused.returncode == 2, missing
        assert re.fullmatch(r"error: .+: .+; .+\n", refused.stderr), missing
        assert "Traceback" not in refused.stderr
    heard = rdmaq_md("subscribe", address, *shown(pki, "peer"), "--timeout", 30, "--json")
    assert heard.returncode == 0, heard.stderr
    output, errors = publisher.communicate(timeout=DEADLINE_SECONDS)
    assert publisher.returncode == 0, errors
    assert json.loads(heard.stdout)["messages"] == json.loads(output)["published"]
    assert "secret-of-the-feed" not in heard.stderr + errors
