"""Two nodes, each at its own device, and peers over verbs: what streams between hosts are."""

from __future__ import annotations

import rdmaq
from rdmaq.bench.perftest import Side

#: A loaded machine takes seconds for a connection, and each side makes several.
PATIENCE_SECONDS = 60.0
CONNECT_SECONDS = 180.0
_CREDENTIALS = rdmaq.Credentials(insecure=True)


def node_at(side: Side) -> rdmaq.Node:
    """A node that listens at the device's address, at a free port."""
    return rdmaq.Node(
        f"{side.address}:0",
        credentials=_CREDENTIALS,
        device=side.device,
        gid_index=side.gid_index,
    )


def peer_of(address: str, side: Side) -> rdmaq.Peer:
    """The node at `address`, reached by our device."""
    return rdmaq.connect(
        address,
        credentials=_CREDENTIALS,
        transport="verbs",
        device=side.device,
        gid_index=side.gid_index,
        timeout=PATIENCE_SECONDS,
    )
