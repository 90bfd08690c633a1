"""Traffic over a wire, by the tools that the rig brings along (perftest, rdma-core)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from itertools import count

from rdmaq.rig.devices import RdmaDevice
from rdmaq.rig.fixtures import RdmaWire

_ports: Iterator[int] = count(18600)
CONNECT_SECONDS_MAX = 20


def run_pair(wire: RdmaWire, tool: str, *options: str) -> str:
    """Run a perftest tool, its server on the left and its client on the right; its output.

    The client is tried until the server listens: perftest has no way of its own to wait.
    """
    common = ["-p", str(next(_ports)), *options]

    def words(device: RdmaDevice) -> list[str]:
        return [tool, "-d", device.name, "-x", str(device.gid_index), *common]

    with subprocess.Popen(
        words(wire.left), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        deadline = time.monotonic() + CONNECT_SECONDS_MAX
        while True:
            client = subprocess.run(
                [*words(wire.right), wire.left.address], capture_output=True, text=True, timeout=60
            )
            if client.returncode == 0 or time.monotonic() > deadline:
                break
            assert server.poll() is None, "the server ended before a client came"
            time.sleep(0.1)
        if client.returncode:
            server.kill()
        server.wait(timeout=60)
    assert client.returncode == 0, f"{tool}: {client.stdout}{client.stderr}"
    return client.stdout
