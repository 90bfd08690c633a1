"""The reader of a replica, and what its user may ask about the way here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from rdmaq.stream.cursor import Cursor

if TYPE_CHECKING:
    from rdmaq.sessions.remote import Remote


class RemoteCursor(Cursor):
    """Reads a replica; closing it ends the link and all that belongs to it."""

    transport = "verbs"
    remote: Remote

    @property
    def silent_ns(self) -> int:
        """As the link's settings have it."""
        return self.remote.silent_ns

    @property
    def obituary(self) -> str:
        """Why nothing comes any more, in words."""
        return self.remote.obituary

    def take_news(self) -> list[tuple[str, str, int]]:
        """What became of the link since the last call."""
        news = []
        with suppress(IndexError):  # one by one: the thread that looks after the link adds to them
            while True:
                news.append(self.remote.news.popleft())
        return news

    def negotiated(self) -> dict[str, str | int]:
        """What holds for the link."""
        return self.remote.negotiated()

    def carried(self) -> dict[str, int]:
        """Counts of links and of what was READ."""
        return asdict(self.remote.counts)

    def close(self) -> None:
        """As `Cursor.close`; when it returns nothing of the subscription is left on the device."""
        super().close()
        self.remote.close()
