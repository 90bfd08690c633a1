"""A node at one end of the wire and callers at the other, by the real bootstrap, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import rdmaq
from rdmaq.peer_verbs import VerbsLink
from rdmaq.region.grant import ARRAY
from rdmaq.rig.fixtures import RdmaWire
from rdmaq.sessions.calling import CallingSession

INSECURE = rdmaq.Credentials(insecure=True)
PATIENCE_SECONDS = 60.0


@contextmanager
def serving(wire: RdmaWire, credentials: rdmaq.Credentials = INSECURE) -> Iterator[rdmaq.Node]:
    """A node at the left end; "n" is a hundred numbers."""
    with rdmaq.Node(f"{wire.left.address}:0", credentials=credentials) as node:
        node.export("n", np.arange(100, dtype="<i8"), access="write")
        yield node


def calling(
    wire: RdmaWire, node: rdmaq.Node, credentials: rdmaq.Credentials = INSECURE, **wishes: Any
) -> rdmaq.Peer:
    """A peer at the right end."""
    wishes = wishes or {"interface": wire.right.interface}
    return rdmaq.connect(
        node.address,
        credentials=credentials,
        transport="verbs",
        timeout=PATIENCE_SECONDS,
        **wishes,
    )


def link_of(peer: rdmaq.Peer) -> VerbsLink:
    """What a peer over verbs holds."""
    link = peer._link
    assert isinstance(link, VerbsLink)
    return link


def opened(peer: rdmaq.Peer, name: str = "n") -> CallingSession:
    """A session for one region, as a handle would have it."""
    return link_of(peer).open(name, ARRAY, 0.0)[1]


def read_words(session: CallingSession, count: int = 10) -> list[int]:
    """The first numbers of the session's region."""
    with session.domain.register(bytearray(8 * count)) as own:
        session.pair.read(own, session.key()[0 : 8 * count]).wait(30)
        return [int(word) for word in np.frombuffer(bytes(own.buffer), "<i8")]


def patiently(condition: Callable[[], object], what: str) -> None:
    """Returns as soon as it is true; a look costs a process, and a node takes seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s for {what} in vain"
        time.sleep(0.1)
