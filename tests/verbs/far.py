"""A region whose owner is behind the tests' own NIC, and the NIC's work in a test's hands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

import rdmaq
from rdmaq.region.grant import ARRAY, RegionInfo
from rdmaq.region.region import Region
from rdmaq.region.verbs_channel import VerbsChannel
from tests.verbs.owner import FakeSession


class Far:
    """A region whose owner is behind the NIC."""

    def __init__(self, array: npt.NDArray[Any], access: str = "atomic") -> None:
        info = RegionInfo(name="r", kind=ARRAY, dtype=array.dtype, shape=array.shape, access=access)
        self.array = array
        self.session = FakeSession(array, info)
        self.channel = VerbsChannel(self.session, info)
        self.region = Region("r", array.dtype, array.shape, access, self.channel)
        self._before = self.session.counts()

    def cost(self) -> dict[str, int]:
        """What the NIC was asked for since the last call."""
        before, self._before = self._before, self.session.counts()
        return {name: count - before[name] for name, count in self._before.items()}

    def __enter__(self) -> Far:
        return self

    def __exit__(self, *_: object) -> None:
        self.region.close()


async def run_nic(far: Far, *, until: asyncio.Future[Any], count: int = 1) -> None:
    while not until.done():
        far.session.end.run(count)
        await asyncio.sleep(0)


def slow(far: Far) -> None:
    """From now on the NIC does what a test tells it to, one request at a time."""
    far.session.end.be_slow()


def in_thread(far: Far, call: Callable[[], object]) -> Callable[[], list[Exception]]:
    """Another thread makes the call, and sleeps in it by now; returns what it was told."""
    told: list[Exception] = []

    def make() -> None:
        try:
            call()
        except rdmaq.RdmaqError as error:
            told.append(error)

    def ended() -> list[Exception]:
        thread.join(20)
        return told

    thread = threading.Thread(target=make)
    before = far.session.end.arms
    thread.start()
    while far.session.end.arms == before:
        time.sleep(0)
    return ended
