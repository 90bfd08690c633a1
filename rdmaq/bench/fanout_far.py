"""One of the subscribing processes of `rdmaq bench fanout`."""

from __future__ import annotations

import rdmaq
from rdmaq.bench import quiet

_MESSAGES_PER_POLL = 8192
_SILENCE_SECONDS = 10.0


class Far(quiet.Far):
    """Waits as subscribers do by default, and counts what it gets and what it is told it lost."""

    def __init__(self, *, name: str, words_fd: int, is_single: bool) -> None:
        super().__init__(words_fd=words_fd)
        peer = rdmaq.connect(f"local:{name}")
        wanted = ["records-N", "messages-N"]
        if is_single:
            wanted += ["records-1", "messages-1"]
        self._subscriptions = {stream: peer.subscribe(stream) for stream in wanted}

    def drain(self, stream: str, message_count: int) -> dict[str, int]:
        """Until everything is received or declared lost, or nothing comes for ten seconds."""
        poll = self._subscriptions[stream].poll
        received = lost = 0
        while received + lost < message_count:
            batch = poll(_SILENCE_SECONDS, max_messages=_MESSAGES_PER_POLL)
            if batch is None:
                break
            if batch.gap is not None:
                lost += batch.gap.count
            else:
                received += len(batch)
        return {"received": received, "lost": lost}

    def close(self) -> None:
        """Ends the subscriptions."""
        for subscription in self._subscriptions.values():
            subscription.close()
        super().close()
