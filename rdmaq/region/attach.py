"""The peer's end of a region's hand-over: asks, checks the answer, maps."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from rdmaq import errors
from rdmaq.region import area as areas
from rdmaq.region.channel import ShmChannel
from rdmaq.region.grant import RegionInfo, from_message
from rdmaq.region.refusals import ACCESSES
from rdmaq.shm import wire
from rdmaq.shm.dial import ask

_RETRY_SECONDS = 0.02
_REGIONS_MAX = 100_000  # a stranger could list names for ever

#: Connects to the node, waiting so many seconds for it to appear.
Dial = Callable[[float], socket.socket]


def list_regions(dial: Dial, address: str) -> list[RegionInfo]:
    """What the node exports now.

    Raises:
        HandoverError: it lists them in an unknown form.
    """
    regions: list[RegionInfo] = []
    is_whole = False
    while not is_whole:
        after = regions[-1].name if regions else ""
        with dial(0.0) as sock:
            answer, unwanted = ask(sock, {"want": "regions", "after": after})
        wire.close_all(unwanted)
        page = answer.get("regions")
        if not isinstance(page, list) or not all(isinstance(region, dict) for region in page):
            raise errors.HandoverError(
                f"the node at {address} listed its regions in an unknown form: run the same "
                "release on both sides"
            )
        infos = [from_message(region) for region in page]
        is_whole = bool(answer.get("is_whole")) or not infos or infos[-1].name <= after
        regions += infos
        if len(regions) > _REGIONS_MAX:
            raise errors.HandoverError(
                f"the node at {address} lists more than {_REGIONS_MAX:,} regions: is it really an "
                "rdmaq node?"
            )
    return regions


def attach(dial: Dial, name: str, kind: str, timeout: float) -> tuple[RegionInfo, ShmChannel]:
    """Asks for a region until it is offered or `timeout` seconds have passed, and maps it.

    Raises:
        RegionNotFound: not on offer; `.available` lists what is.
        HandoverError, SegmentError: what came is not what a node sends.
    """
    deadline = time.monotonic() + timeout
    while True:
        sock = dial(max(0.0, deadline - time.monotonic()))
        try:
            return _hand_over(sock, name, kind)
        except errors.RegionNotFound:
            sock.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        except BaseException:
            sock.close()
            raise


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
