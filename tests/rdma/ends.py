"""Two ends of a wire in one process, connected; and what a test asks of the machine's objects."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmaq import verbs
from rdmaq.rig.devices import RdmaDevice
from rdmaq.rig.fixtures import RdmaWire

ALL = verbs.Access.REMOTE_READ | verbs.Access.REMOTE_WRITE | verbs.Access.REMOTE_ATOMIC
# Loss and a busy host need patience; what shall fail, fails fast with these.
PATIENT = verbs.PairSettings(timeout=16, retry_count=6, wait="sleep")
HASTY = verbs.PairSettings(timeout=13, retry_count=1, wait="sleep")


@dataclass
class End:
    """One side: a device, a domain, a queue pair."""

    device: verbs.Device
    domain: verbs.Domain
    pair: verbs.Pair

    def memory(self, size_bytes: int, access: verbs.Access = ALL) -> verbs.Memory:
        """New zeroed memory of this side."""
        return self.domain.register(bytearray(size_bytes), access)


def opened(port: RdmaDevice, **wishes: Any) -> verbs.Device:
    """The device at one end of the wire, with the GID that the rig's wires route."""
    wishes = wishes or {"gid_index": port.gid_index}
    return verbs.open(port.name, port=port.port, **wishes)


@contextmanager
def connected(
    wire: RdmaWire,
    settings: verbs.PairSettings = PATIENT,
    right_settings: verbs.PairSettings | None = None,
) -> Iterator[tuple[End, End]]:
    """Both ends of the wire, connected to each other."""
    with ExitStack() as stack:
        ends = []
        for port, own in ((wire.left, settings), (wire.right, right_settings or settings)):
            device = stack.enter_context(opened(port))
            domain = stack.enter_context(device.domain())
            ends.append(End(device, domain, stack.enter_context(domain.pair(own))))
        left, right = ends
        left.pair.connect(right.pair.address)
        right.pair.connect(left.pair.address)
        yield left, right


@dataclass(frozen=True)
class Census:
    """What may leak: verbs objects by the kernel's own count, descriptors, memory."""

    objects: dict[str, int]
    fds: int
    rss_bytes: int


def census() -> Census:
    """Counts the objects of all devices (`rdma resource`) and this process's own things."""
    gc.collect()
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    answer = subprocess.run(
        ["rdma", "-j", "resource", "show"],
        capture_output=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    objects: dict[str, int] = {}
    for device in json.loads(answer.stdout):
        for name in ("pd", "cq", "qp", "mr", "ctx"):
            objects[name] = objects.get(name, 0) + device.get(name, 0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Census(
        objects, len(list(Path("/proc/self/fd").iterdir())), pages * os.sysconf("SC_PAGESIZE")
    )
