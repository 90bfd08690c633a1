"""Bootstrap and payload by IPv6: a node at [address]:port, and GIDs of that family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rdmaq
from rdmaq.address import HostPort, parse_address
from rdmaq.doctor.finding import OK
from rdmaq.doctor.machine import Machine
from rdmaq.doctor.way import examine_way
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.verbs.devices import ports
from tests.bootstrap import rig
from tests.rdma.broken import run
from tests.rdma.sessions import patiently

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]

ADDRESS = "fd77::1"


@pytest.fixture
def interface(rdma_wire: RdmaWire) -> Iterator[str]:
    """The left one, with an address of that family; the wire itself is IPv4's."""
    name = rdma_wire.left.interface
    run("ip", "-6", "address", "add", f"{ADDRESS}/64", "dev", name, "nodad")
    try:
        patiently(lambda: ADDRESS in addresses(rdma_wire.left.name), "its GID")
        yield name
    finally:
        run("ip", "-6", "address", "delete", f"{ADDRESS}/64", "dev", name)


def addresses(device: str) -> set[str]:
    return {str(gid.address) for port in ports(device=device) for gid in port.gids}


@pytest.mark.usefixtures("interface")
def test_node_at_an_address_of_ipv6_is_found_and_reached_by_gids_of_ipv6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Mutual TLS, a region, a stream; no device is named on either side. Doctor sees the way."""
    folder = rig.certificates()
    shown = rig.node_credentials(folder)
    asked = rig.peer_credentials(folder)
    asked = rdmaq.Credentials(
        ca_file=asked.ca_file,
        certificate_file=asked.certificate_file,
        key_file=asked.key_file,
        server_name="localhost",
    )
    with (
        rdmaq.Node(f"[{ADDRESS}]:0", credentials=shown) as node,
        node.publish("s", "<u8", capacity="64KiB") as publisher,
        rdmaq.connect(node.address, credentials=asked, transport="verbs", timeout=60) as peer,
    ):
        told = peer.negotiated()
        assert str(told["gid"]).startswith(ADDRESS)
        assert told["peer_gid"] == ADDRESS
        export = node.export("n", [1, 2, 3], access="write")
        with peer.region("n") as region:
            region.write(1, 20)
            assert region.read().tolist() == [1, 20, 3] == export.array.tolist()
        with peer.subscribe("s", timeout=60) as subscription:
            publisher.send_batch([7, 8])
            batch = subscription.poll(timeout=60)
            assert batch is not None
            assert batch.data.tolist() == [7, 8]
        for variable, value in {
            "RDMAQ_TLS_CA": asked.ca_file,
            "RDMAQ_TLS_CERTIFICATE": asked.certificate_file,
            "RDMAQ_TLS_KEY": asked.key_file,
            "RDMAQ_TLS_SERVER_NAME": "localhost",
        }.items():
            monkeypatch.setenv(variable, str(value))
        where = parse_address(node.address)
        assert isinstance(where, HostPort)
        findings = list(examine_way(Machine(), where, timeout=60))
        assert {finding.level for finding in findings} == {OK}, findings
        assert any(ADDRESS in finding.what for finding in findings if finding.check == "path")
