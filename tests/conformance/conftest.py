"""The transports that every test of this folder runs over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.child import Child
from tests.conformance.kept import KeptLinks
from tests.conformance.over_verbs import runs, surplus
from tests.conformance.rig import SHM, VERBS, Link, Transport

_OVER_VERBS = pytest.param(
    VERBS, marks=[pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(300)]
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test over shared memory, and over an RDMA wire but where `over_verbs` says why not."""
    if "transport" in metafunc.fixturenames:
        place = f"{metafunc.module.__name__.rpartition('.')[2]}::{metafunc.function.__name__}"
        over_verbs = [_OVER_VERBS] if runs(place) else []
        ids = lambda transport: transport.name  # noqa: E731
        metafunc.parametrize("transport", [SHM, *over_verbs], ids=ids, indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the rig's guest the host has chosen already."""
    dropped = set() if "RDMAQ_RIG" in os.environ else set(surplus(items))
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]


_wired: list[Transport] = []


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> Transport:
    """Sizes and addresses of the transport under test."""
    chosen: Transport = request.param
    if chosen is VERBS and "RDMAQ_FAR" in os.environ:
        far = os.environ["RDMAQ_FAR"]
        chosen = replace(chosen, host=far, far=far)
    elif chosen is VERBS:
        if not _wired:  # looking at the devices takes an emulated machine up to a second
            _wired.append(chosen.over(request.getfixturevalue("rdma_wire")))
        chosen = _wired[0]
    return chosen


_kept = KeptLinks()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The kept link goes with the last test of this folder: nobody else finds it on the wire."""
    if nextitem is None or nextitem.path.parent != item.path.parent:
        _kept.close()


@pytest.fixture
def link(transport: Transport, request: pytest.FixtureRequest) -> Iterator[Link]:
    """A node and a peer of this process, which nobody else uses; closed or emptied after the test.

    Over verbs one serves all tests: making queue pairs takes seconds where devices are emulated.
    """
    if transport.host:
        yield _kept.take(transport)
        _kept.give_back()
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
    child.offer(transport)
    child.run(f"pub = node.publish('s', capacity={transport.capacity_bytes})")
    return child
