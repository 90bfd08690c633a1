"""Two guests on a common wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rdmaq.rig import breaking, lifecycle, running, wires
from rdmaq.rig.faults import Fault, moved
from rdmaq.rig.state import State
from tests.rig.support import need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def pair() -> Iterator[State]:
    need_qemu()
    wish = wish_for("two", node_count=2)
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


def between_nodes(
    rig: State, tool: str, *options: str, server: int = 0, client: int = 1
) -> running.Completed:
    """Run a perftest tool, its server in one node and its client in another."""
    words = [tool, "-d", "rxe2", "-x", "1", "-F", *options]
    serving = threading.Thread(
        target=running.run, args=(rig, words), kwargs={"timeout": 60, "node": server}
    )
    serving.start()
    address = wires.devices_of(server, rig.node_count)[2].address
    again = f"for i in $(seq 100); do {' '.join(words)} {address} && exit; sleep 0.1; done; exit 9"
    try:
        return running.run(rig, ["sh", "-c", again], node=client, timeout=60)
    finally:
        serving.join()


def sent(rig: State) -> int:
    path = "/sys/class/infiniband/rxe2/ports/1/hw_counters/sent_pkts"
    return int(running.run(rig, ["cat", path], node=1).stdout)


@pytest.mark.parametrize("tool", ["ib_write_lat", "ib_read_bw", "ib_send_bw"])
def test_perftest_crosses_the_wire_between_guests(pair: State, tool: str) -> None:
    before = sent(pair)
    done = between_nodes(pair, tool, "-n", "50", "-s", "1024")
    assert done.status == 0, (done.stdout + done.stderr).decode()
    assert sent(pair) - before >= 50


def test_loss_from_outside_moves_its_counter_and_traffic_survives(pair: State) -> None:
    breaking.break_wires(pair, 1, Fault("loss", "10%", ["wire2"]))
    before = breaking.counters(pair, 1)
    done = between_nodes(pair, "ib_write_bw", "-n", "100", "-s", "1024", "-u", "13")
    after = breaking.counters(pair, 1)
    breaking.heal(pair, 1)
    assert done.status == 0
    assert moved("loss", before, after)


def test_fault_from_outside_tells_what_it_did(pair: State) -> None:
    """One that no packet met is told apart: `heal --check` fails by it."""
    breaking.break_wires(pair, 1, Fault("loss", "10%", ["wire2"]))
    assert breaking.effect(pair, 1) == ("loss", {})
    assert f"node 1: loss moved {breaking.NO_COUNTER}" in breaking.heal(pair, 1)
    assert breaking.effect(pair, 1) is None
    breaking.break_wires(pair, 1, Fault("delay", "5ms", ["wire2"]))
    assert between_nodes(pair, "ib_write_lat", "-n", "5").status == 0
    assert any("delay moved qdisc.packets by" in line for line in breaking.heal(pair, 1))


def test_unplugged_node_is_seen_as_down_and_comes_back(pair: State) -> None:
    words = ["cat", "/sys/class/infiniband/rxe2/ports/1/state"]
    breaking.break_node(pair, 1, "unplug")
    assert b"DOWN" in running.run(pair, words, node=1).stdout
    breaking.heal(pair, 1)
    assert b"ACTIVE" in running.run(pair, words, node=1).stdout


def test_killed_node_is_started_again_by_heal(pair: State) -> None:
    dead = pair.nodes[1].process
    breaking.break_node(pair, 1, "kill")
    assert not dead.is_alive
    breaking.heal(pair, 1)
    assert pair.nodes[1].process != dead
    assert between_nodes(pair, "ib_write_lat", "-n", "20").status == 0


def test_four_nodes_share_one_wire_which_outlives_each_of_them() -> None:
    need_qemu()
    wish = wish_for("four", node_count=4)
    try:
        rig = lifecycle.up(wish)
        breaking.break_node(rig, 0, "kill")
        for server, client in ((1, 3), (3, 2)):
            done = between_nodes(rig, "ib_write_lat", "-n", "20", server=server, client=client)
            assert done.status == 0, (done.stdout + done.stderr).decode()
    finally:
        lifecycle.down(wish.name)
