"""The transports that every test of this folder runs over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.child import Child
from tests.conformance.kept import KeptLinks
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


@pytest.fixture(scope="module")
def kept_links() -> Iterator[KeptLinks]:
    """Links that the tests of a module use one after the other."""
    with KeptLinks() as made:
        yield made


@pytest.fixture
def link(transport: Transport, request: pytest.FixtureRequest) -> Iterator[Link]:
    """A node and a peer of this process, which nobody else uses; closed or emptied after the test.

    Over verbs one serves many tests: making queue pairs takes seconds where devices are emulated.
    """
    if transport.host:
        kept: KeptLinks = request.getfixturevalue("kept_links")
        yield kept.take(transport)
        kept.give_back()
        return
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
