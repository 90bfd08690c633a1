"""A region's large copies over shared memory are made by a thread beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rdmaq


def test_cancelled_operation_ends_with_its_copying(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy cannot be called back: were the array given up before, it would go on into thin air.

    The copying thread is held until the task was cancelled, and again.
    """
    node, peer = rdmaq.Node("local:desk"), rdmaq.connect("local:desk")
    node.export("large", np.ones(2 << 20, dtype="u1"))
    region = peer.region("large")
    began, go_on = threading.Event(), threading.Event()
    run = region.channel.run

    def held(ops: npt.NDArray[Any]) -> int:
        began.set()
        assert go_on.wait(30)
        return run(ops)

    monkeypatch.setattr(region.channel, "run", held)
    out = np.zeros(2 << 20, dtype="u1")

    async def use() -> None:
        task = asyncio.ensure_future(region.aio.read_into(out))
        assert await asyncio.to_thread(began.wait, 30)
        for _ in range(2):
            task.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        assert not task.done()
        assert not out.any()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert out.all()

    with node, peer, region:
        try:
            asyncio.run(use())
        finally:
            go_on.set()
