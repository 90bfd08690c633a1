"""The process that `rdmaq bench stalled` stops."""

from __future__ import annotations

import rdmaq
from rdmaq.bench import quiet


class Far(quiet.Far):
    """Holds subscriptions and reads nothing."""

    def __init__(self, *, words_fd: int, name: str, stream: str, subscribers: int) -> None:
        super().__init__(words_fd=words_fd)
        peer = rdmaq.connect(f"local:{name}")
        self._subscriptions = [peer.subscribe(stream) for _ in range(subscribers)]

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()
        super().close()
