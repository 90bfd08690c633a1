"""'transport retry counter exceeded' never comes alone: what it was, why, and where to look."""

from __future__ import annotations

import re

import pytest

import rdmaq
from rdmaq import verbs
from rdmaq.errors import OperationFailed
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma.broken import dropped
from tests.rdma.ends import HASTY, End, connected
from tests.rdma.sessions import calling, serving

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]


def failure_of(left: End, right: End, size_bytes: int) -> OperationFailed:
    operation = left.pair.write(left.memory(size_bytes), right.memory(size_bytes).remote)
    with pytest.raises(OperationFailed) as caught:
        operation.wait(60)
    return caught.value


def says_all(error: OperationFailed, left: End, right: End) -> None:
    """The whole text: what, on which pair, likely causes, a cure, and where to look."""
    assert error.status == verbs.Status.RETRY_EXC_ERR
    own, other = left.device.gid.address, right.device.gid.address
    what = (
        r"WRITE of [\d,]+ bytes failed with RETRY_EXC_ERR \(vendor error 0x[0-9a-f]+\) on "
        rf"queue pair {left.pair.address.qp_num} of {left.device.port} to "
        rf"{right.pair.address.qp_num}, "
        rf"GID {re.escape(str(own))} \(RoCE v2, index \d+\) to {re.escape(str(other))}, MTU 4096, "
        rf"timeout {HASTY.timeout} \([\d.]+ s\), retries {HASTY.retry_count}, rnr retries \d+, "
        rf"rnr timer \d+, ends within [\d.]+ s: "
    )
    found = re.match(what, str(error))
    assert found, str(error)
    rest = str(error)[found.end() :]
    for cause in ("killed", "link is down", "4791/udp", "GID", "as large as the MTU"):
        assert cause in rest
    assert "`rdmaq doctor HOST:PORT`" in rest.partition("; ")[2]
    assert "connect a new pair" in rest
    assert "PairSettings" in rest


def test_blocked_port_is_told_with_everything(rdma_wire: RdmaWire) -> None:
    """A firewall drops 4791/udp while the pair is connected."""
    with connected(rdma_wire, HASTY) as (left, right), dropped("udp dport 4791"):
        says_all(failure_of(left, right, 8), left, right)


def test_path_that_is_narrower_than_the_mtu_is_told_with_everything(rdma_wire: RdmaWire) -> None:
    """Small operations pass, so that it is no dead link; a full packet is lost at each try."""
    with connected(rdma_wire, HASTY) as (left, right), dropped("udp dport 4791 meta length > 1500"):
        left.pair.write(left.memory(8), right.memory(8).remote).wait(60)
        says_all(failure_of(left, right, 4096), left, right)


def test_peer_that_closed_its_pair_is_told_with_everything(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire, HASTY) as (left, right):
        target = right.memory(8).remote
        right.pair.close()
        operation = left.pair.write(left.memory(8), target)
        with pytest.raises(OperationFailed) as caught:
            operation.wait(60)
        says_all(caught.value, left, right)


def test_rule_of_our_own_firewall_is_among_the_causes_that_are_told(rdma_wire: RdmaWire) -> None:
    """Then rxe itself is refused to send, and says no more than that it flushed the operation."""
    with connected(rdma_wire, HASTY) as (left, right), dropped("udp dport 4791", "output"):
        text = str(failure_of(left, right, 8))
    assert "4791/udp" in text
    assert "run `rdmaq doctor`" in text
    assert f"to {right.device.gid.address}, MTU 4096" in text


def test_user_of_a_region_is_told_everything_too(rdma_wire: RdmaWire) -> None:
    """In the class that says what to do, with the pair's words in it."""
    with serving(rdma_wire) as node, calling(rdma_wire, node) as peer:
        region = peer.region("n")
        assert int(region.read()[7]) == 7
        with dropped("udp dport 4791"), pytest.raises(rdmaq.PeerGone) as caught:
            region.read()
        region.close()
    text = str(caught.value)
    assert text.startswith("region 'n' has lost its ")
    for words in (
        "failed with RETRY_EXC_ERR",
        f"GID {rdma_wire.right.address} (RoCE v2, index 1) to {rdma_wire.left.address}, MTU 4096",
        "timeout 16",
        "4791/udp",
        "`rdmaq doctor HOST:PORT`",
    ):
        assert words in text


def test_connection_that_does_not_come_about_is_told_everything_too(rdma_wire: RdmaWire) -> None:
    """With the very command that looks for the cause."""
    with serving(rdma_wire) as node, dropped("udp dport 4791"):
        with pytest.raises(rdmaq.UnsupportedTransport) as caught:
            calling(rdma_wire, node)
        text = str(caught.value)
        assert f"`rdmaq doctor {node.address}`" in text
    assert "failed with RETRY_EXC_ERR" in text
    assert f"to {rdma_wire.left.address}, MTU 4096" in text
