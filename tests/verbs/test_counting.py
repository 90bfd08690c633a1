"""Who counts in an atomic region: CPUs, or a NIC whose atomics are not atomic to them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rdmaq
from rdmaq.region.counting import Counting
from rdmaq.region.exported import Export
from rdmaq.region.grant import ARRAY, RegionInfo
from rdmaq.region.region import Region
from rdmaq.region.verbs_channel import VerbsChannel
from tests.verbs.owner import FakeSession

INFO = RegionInfo(name="r", kind=ARRAY, dtype=np.dtype("<u8"), shape=(4,), access="atomic")


@pytest.fixture
def export() -> Iterator[Export]:
    with Export(INFO, np.zeros(4, "<u8"), lambda _: None) as made:
        yield made


def counting_of(export: Export) -> Counting:
    return export._counting


def by_nic(export: Export) -> tuple[Region, FakeSession]:
    session = FakeSession(export.array, INFO)
    channel = VerbsChannel(session, INFO)
    return Region("r", INFO.dtype, INFO.shape, "atomic", channel), session


def nothing() -> Region:
    pytest.fail("nothing is to be made")


def test_owner_counts_by_the_cpu_until_a_nic_does_and_then_by_the_nic(export: Export) -> None:
    assert export.fetch_add(0, 5) == 0
    region, session = by_nic(export)
    before = session.counts()["requests"]
    counting_of(export).begin_nic(lambda: region)
    assert (export.fetch_add(0, 2), export.compare_swap(0, 7, 9)) == (5, 7)
    assert session.counts()["requests"] == before + 2
    assert int(export.array[0]) == 9
    counting_of(export).begin_nic(nothing)
    export.revoke()
    assert session.closed == 1
    with pytest.raises(rdmaq.ClosedError):
        export.fetch_add(0, 1)
    with pytest.raises(rdmaq.ClosedError):
        export.compare_swap(0, 9, 1)
    assert int(export.array[0]) == 9


def test_owner_counts_by_the_cpu_again_when_the_nic_is_gone(export: Export) -> None:
    """Until another one does; its peers of this host may come meanwhile."""
    export.count_by_cpu()
    first, session = by_nic(export)
    counting_of(export).begin_nic(lambda: first)
    assert export.fetch_add(0, 1) == 0
    for _ in range(2):
        export.count_by_cpu()
    assert session.closed == 1
    assert export.fetch_add(0, 1) == 1
    export.admit_cpu_peer()()
    second, other = by_nic(export)
    counting_of(export).begin_nic(lambda: second)
    before = other.counts()["requests"]
    assert export.fetch_add(0, 1) == 2
    assert other.counts()["requests"] == before + 1


def test_peer_of_this_host_is_refused_while_a_nic_counts(export: Export) -> None:
    counting_of(export).begin_nic(lambda: by_nic(export)[0])
    with pytest.raises(rdmaq.RegionAccessError, match="transport='verbs'"):
        export.admit_cpu_peer()


def test_nic_does_not_begin_while_peers_of_this_host_count(export: Export) -> None:
    """When they are gone it may; what was made in vain is closed."""
    gone = export.admit_cpu_peer()
    region, session = by_nic(export)
    with pytest.raises(rdmaq.RegionAccessError, match="counted in by 1 peers"):
        counting_of(export).begin_nic(nothing)

    def made_while_a_peer_comes() -> Region:
        counting_of(export).admit_cpu_peer()
        return region

    gone()
    with pytest.raises(rdmaq.RegionAccessError):
        counting_of(export).begin_nic(made_while_a_peer_comes)
    assert session.closed == 1
    assert export.fetch_add(0, 1) == 0
    counting_of(export)._leave()
    counting_of(export).begin_nic(lambda: by_nic(export)[0])


def test_regions_that_nobody_counts_in_are_open_to_all() -> None:
    for access in ("read", "write"):
        info = RegionInfo(name="r", kind=ARRAY, dtype=INFO.dtype, shape=(4,), access=access)
        with Export(info, np.zeros(4, "<u8"), lambda _: None) as export:
            export.admit_cpu_peer()()


def test_peers_own_connection_is_refused_in_words_and_ended_ones_are_counted_off() -> None:
    """Through the hand-over: the peer gets the very class, and closing a region lets go."""
    with rdmaq.Node("local:desk") as node, rdmaq.connect("local:desk") as peer:
        export = node.export("r", np.zeros(4, "<u8"), access="atomic")
        region = peer.region("r")
        with pytest.raises(rdmaq.RegionAccessError):
            counting_of(export).begin_nic(nothing)
        region.close()
        deadline_count = 0
        while counting_of(export)._cpu_peers:
            deadline_count += 1
            assert deadline_count < 1_000_000
            peer.ping()
        counting_of(export).begin_nic(lambda: by_nic(export)[0])
        with pytest.raises(rdmaq.RegionAccessError, match="region 'r' is counted in by a NIC"):
            peer.region("r")
