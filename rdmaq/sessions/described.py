"""A client of the bootstrap that has asked the node what it is: the first connection need not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rdmaq.bootstrap.messages import ConnectAsk, ConnectGrant, Description, Probed, Proof

if TYPE_CHECKING:
    from rdmaq.sessions.calling import Caller

# Well below what a node takes a challenge for (`SessionLimits`): a device may be slow to open.
_FRESH_SECONDS = 10.0


class Described:
    """Hands on what the node said, once and while its challenge is fresh; then asks anew.

    A connection of TCP, a handshake of TLS and a question less: most of what `connect` takes.

    Args:
        client: that asked; closed with this.
        description: what it was told,
        challenge: and the challenge for one connection.
    """

    def __init__(self, client: Caller, description: Description, challenge: bytes) -> None:
        self._client = client
        self._told: tuple[Description, bytes] | None = (description, challenge)
        self._fresh_until = time.monotonic() + _FRESH_SECONDS

    def describe(self, *, timeout: float = 0.0) -> tuple[Description, bytes]:
        """See `Caller`."""
        told, self._told = self._told, None
        if told is not None and time.monotonic() < self._fresh_until:
            return told
        return self._client.describe(timeout=timeout)

    def connect(self, ask: ConnectAsk, challenge: bytes) -> tuple[ConnectGrant, bytes]:
        """See `Caller`."""
        return self._client.connect(ask, challenge)

    def confirm(self, session: bytes, probed: Probed, proof: Proof) -> tuple[Probed, Proof]:
        """See `Caller`."""
        return self._client.confirm(session, probed, proof)

    def begin(self, session: bytes, position: int, cursor: int) -> bool:
        """See `Caller`."""
        return self._client.begin(session, position, cursor)

    def disconnect(self, session: bytes) -> None:
        """See `Caller`."""
        self._client.disconnect(session)

    def close(self) -> None:
        """See `Caller`."""
        self._client.close()
