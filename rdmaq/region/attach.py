"""The peer's end of a region's hand-over: asks, checks the answer, maps."""

from __future__ import annotations

import os
import socket
from typing import Any

from rdmaq import errors
from rdmaq.region import area as areas
from rdmaq.region.channel import ShmChannel
from rdmaq.region.grant import RegionInfo, from_message
from rdmaq.region.refusals import ACCESSES
from rdmaq.shm import wire
from rdmaq.shm.dial import ask
from rdmaq.shm.offers import Dial, taken


def attach(dial: Dial, name: str, kind: str, timeout: float) -> tuple[RegionInfo, ShmChannel]:
    """Asks for a region until it is offered or `timeout` seconds have passed, and maps it.

    Raises:
        RegionNotFound: not on offer; `.available` lists what is.
        HandoverError, SegmentError: what came is not what a node sends.
    """
    return taken(dial, lambda sock: _hand_over(sock, name, kind), errors.RegionNotFound, timeout)


def _hand_over(sock: socket.socket, name: str, kind: str) -> tuple[RegionInfo, ShmChannel]:
    answer, descriptors = ask(sock, {"want": "region", "name": name, "kind": kind})
    pidfd = None
    try:
        info = _checked(answer, name, kind, descriptors)
        access = ACCESSES[info.access]
        area = areas.attach(descriptors[0], descriptors[1], info.data_bytes, access)
        pidfd = wire.open_pidfd(wire.peer_credentials(sock)[0])
        return info, ShmChannel(area, access, sock, pidfd)
    except BaseException:
        if pidfd is not None:
            os.close(pidfd)
        raise
    finally:
        wire.close_all(descriptors)


def _checked(answer: dict[str, Any], name: str, kind: str, descriptors: list[int]) -> RegionInfo:
    info = from_message(answer)
    if len(descriptors) != 2 or info.name != name or info.kind != kind:
        raise errors.HandoverError(
            "the node's grant is not what was asked for: run the same release on both sides"
        )
    return info
