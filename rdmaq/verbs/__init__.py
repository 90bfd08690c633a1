"""RDMA verbs: one-sided operations between the memories of two processes.

pyverbs makes the objects, C posts and polls. Importing this needs neither pyverbs nor a device;
`ports()` lists what there is, and `open()` says what to install where something is missing.

    from rdmaq import verbs

    with verbs.open(reach="feed-2") as device, device.domain() as domain:
        memory = domain.register(bytearray(4096), verbs.Access.REMOTE_WRITE)
        pair = domain.pair()
        ...                                # give pair.address and memory.remote to the peer
        pair.connect(peer_address)
        pair.write(memory[0:64], peer_memory).wait()

docs/verbs.md is a tutorial.
"""

from rdmaq.verbs.address import PairAddress
from rdmaq.verbs.attributes import PairAttributes
from rdmaq.verbs.constants import Access, EventKind, QpState, Status
from rdmaq.verbs.device import Device
from rdmaq.verbs.device import open_device as open  # noqa: A004 - read as verbs.open
from rdmaq.verbs.devices import Port, ports
from rdmaq.verbs.domain import Domain
from rdmaq.verbs.events import DeviceEvent, Events
from rdmaq.verbs.gids import Gid
from rdmaq.verbs.limits import DeviceLimits
from rdmaq.verbs.link_settings import LinkSettings
from rdmaq.verbs.memory import Memory, MemoryPart, RemoteMemory
from rdmaq.verbs.operation import Operation, Receive
from rdmaq.verbs.pair import Pair
from rdmaq.verbs.requests import Batch, Requests
from rdmaq.verbs.settings import PairSettings
from rdmaq.verbs.window import Window

__all__ = [
    "Access",
    "Batch",
    "Device",
    "DeviceEvent",
    "DeviceLimits",
    "Domain",
    "EventKind",
    "Events",
    "Gid",
    "LinkSettings",
    "Memory",
    "MemoryPart",
    "Operation",
    "Pair",
    "PairAddress",
    "PairAttributes",
    "PairSettings",
    "Port",
    "QpState",
    "Receive",
    "RemoteMemory",
    "Requests",
    "Status",
    "Window",
    "open",
    "ports",
]
