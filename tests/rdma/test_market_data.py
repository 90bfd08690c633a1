"""`rdmaq-md publish` in one virtual machine, `rdmaq-md subscribe` in another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rdmaq.rig import lifecycle
from rdmaq.rig.host_tests import kernel_complaints
from rdmaq.rig.state import State
from tests.rdma.fan_out import fan_out, faults, synthetic
from tests.rig.support import need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MESSAGES, SEED = 6_000, 11


@pytest.fixture(scope="module")
def two() -> Iterator[State]:
    need_qemu()
    wish = wish_for("market-data", node_count=2)
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


def test_four_subscribers_of_another_machine_get_all_of_a_reliable_feed_over_a_bad_wire(
    two: State,
) -> None:
    """A ring that the feed fills several times, 2 % of packets lost. The matrix: scripts/stress."""
    feed = synthetic(MESSAGES, SEED)
    outcome = fan_out(two, feed, publishing=["--reliable", "--capacity", "64KiB"], loss_percent=2)
    assert faults(feed, outcome) == []
    assert outcome.dropped > 0
    assert [kernel_complaints(two, node) for node in (0, 1)] == [[], []]
    assert outcome.said["sessions"][0]["ring_bytes"] > 4 * 65536, "the ring was never written over"


def test_four_subscribers_of_another_machine_recover_what_a_lossy_feed_did_not_wait_for(
    two: State,
) -> None:
    """The ring holds all of the feed, so whatever a link missed is there to be READ."""
    feed = synthetic(MESSAGES, SEED)
    outcome = fan_out(
        two,
        feed,
        publishing=["--capacity", "1MiB", "--coalesce", "512"],
        subscribing=["--on-gap", "recover"],
        loss_percent=5,
    )
    assert faults(feed, outcome) == []
    assert outcome.dropped > 0
    assert outcome.said["sessions"][0]["ring_bytes"] < 900_000, "more than the ring holds"
