"""What tests of the rig share that pytest has to know of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import rdmaq
from rdmaq.doctor.checks import examine
from rdmaq.doctor.machine import Machine
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma import broken
from tests.rdma.sessions import calling, serving


@pytest.fixture(scope="module")
def healthy_guest() -> Iterator[None]:
    """The clock as a time service would have it. Whatever was broken is mended in the end."""
    broken.set_clock_synchronised(True)
    yield
    assert broken.names(examine(Machine())) == set()
    broken.set_clock_synchronised(False)


@pytest.fixture(scope="module")
def kept() -> Iterator[tuple[ExitStack, dict[str, Any]]]:
    """A module's node and peer: connecting takes seconds where devices are emulated."""
    with ExitStack() as stack:
        yield stack, {}


@pytest.fixture
def node(rdma_wire: RdmaWire, kept: tuple[ExitStack, dict[str, Any]]) -> rdmaq.Node:
    stack, made = kept
    if not made:
        made["node"] = stack.enter_context(serving(rdma_wire))
        made["peer"] = stack.enter_context(calling(rdma_wire, made["node"]))
    found: rdmaq.Node = made["node"]
    return found


@pytest.fixture
def peer(node: rdmaq.Node, kept: tuple[ExitStack, dict[str, Any]]) -> rdmaq.Peer:
    assert node is kept[1]["node"]
    found: rdmaq.Peer = kept[1]["peer"]
    return found
