"""The transports that every test of this folder runs over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.child import Child
from tests.conformance.rig import SHM, VERBS, Link, Transport

_OVER_VERBS = pytest.param(
    VERBS, marks=[pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test over shared memory; those of a module with OVER_VERBS over an RDMA wire, too."""
    if "transport" in metafunc.fixturenames:
        over_verbs = [_OVER_VERBS] if getattr(metafunc.module, "OVER_VERBS", False) else []
        ids = lambda transport: transport.name  # noqa: E731
        metafunc.parametrize("transport", [SHM, *over_verbs], ids=ids, indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> Transport:
    """Sizes and addresses of the transport under test."""
    chosen: Transport = request.param
    if chosen is VERBS:
        chosen = chosen.over(request.getfixturevalue("rdma_wire"))
    return chosen


@pytest.fixture
def link(transport: Transport) -> Iterator[Link]:
    """A node and a peer of this process, closed after the test."""
    with Link(transport) as made:
        yield made


@pytest.fixture
def child(runtime_dir: object) -> Iterator[Child]:
    """Another process, in the same runtime folder."""
    with Child() as made:
        yield made


@pytest.fixture
def publisher(child: Child, transport: Transport) -> Child:
    """A child that is the node `rig`, with `pub` publishing the untyped stream "s"."""
    child.run(f"node = rdmaq.Node({transport.address('rig')!r})")
    child.run(f"pub = node.publish('s', capacity={transport.capacity_bytes})")
    return child
