"""What tests of the rig share that pytest has to know of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rdmaq.doctor.checks import examine
from rdmaq.doctor.machine import Machine
from tests.rdma import broken


@pytest.fixture(scope="module")
def healthy_guest() -> Iterator[None]:
    """The clock as a time service would have it. Whatever was broken is mended in the end."""
    broken.set_clock_synchronised(True)
    yield
    assert broken.names(examine(Machine())) == set()
    broken.set_clock_synchronised(False)
