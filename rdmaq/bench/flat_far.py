"""The receiving process of `rdmaq bench flat`."""

from __future__ import annotations

import numpy as np

import rdmaq
from rdmaq.bench import quiet

_MESSAGES_PER_POLL = 8192
_SILENCE_SECONDS = 10.0


class Far(quiet.Far):
    """Reads into one array, and counts what it gets and what it is told it lost."""

    def __init__(self, *, name: str, stream: str, words_fd: int) -> None:
        super().__init__(words_fd=words_fd)
        self._subscription = rdmaq.connect(f"local:{name}").subscribe(stream)
        self._into = np.zeros(_MESSAGES_PER_POLL, dtype=self._subscription.schema)

    def drain(self, message_count: int) -> int:
        """Until everything is received or declared lost; returns how much was received."""
        poll, into = self._subscription.poll, self._into
        received = lost = 0
        while received + lost < message_count:
            batch = poll(_SILENCE_SECONDS, max_messages=_MESSAGES_PER_POLL, into=into)
            if batch is None:
                break
            received += len(batch)
            lost += 0 if batch.gap is None else batch.gap.count
        return received

    def close(self) -> None:
        """Ends the subscription."""
        self._subscription.close()
        super().close()
