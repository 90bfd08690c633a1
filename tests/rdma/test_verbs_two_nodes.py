"""One-sided operations between two virtual machines that exchange attributes by a plain socket."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator

import pytest

from rdmaq.rig import lifecycle, running
from rdmaq.rig.state import State
from tests.rig.support import ROOT, need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SERVER_ADDRESS = "10.78.0.1"
OPERATIONS = 300
SECONDS_MAX = 600


@pytest.fixture(scope="module")
def two() -> Iterator[State]:
    need_qemu()
    wish = wish_for("verbs", node_count=2)
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


def test_walk_between_two_machines_does_what_the_model_says(two: State) -> None:
    """The devices are chosen by the address to reach; nothing but that address is known before."""
    words = [sys.executable, "-m", "tests.rdma.two_nodes"]
    served: list[running.Completed] = []

    def serve() -> None:
        command = [*words, "serve", SERVER_ADDRESS]
        served.append(running.run(two, command, folder=ROOT, timeout=SECONDS_MAX))

    server = threading.Thread(target=serve)
    server.start()
    command = [*words, "walk", SERVER_ADDRESS, str(OPERATIONS), "7"]
    walked = running.run(two, command, node=1, folder=ROOT, timeout=SECONDS_MAX)
    server.join()
    assert walked.status == 0, (walked.stderr + served[0].stderr).decode()
    assert served[0].status == 0, served[0].stderr.decode()
    told = json.loads(walked.stdout)
    assert sum(told["counts"].values()) >= OPERATIONS
    assert len(told["counts"]) == 5
    assert "10.78.0.2" in told["device"]
    assert "to 10.78.0.1" in told["peer"]
