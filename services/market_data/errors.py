"""What the market-data programs refuse, one class per decision the caller can take."""

from __future__ import annotations


class MarketDataError(Exception):
    """The input or the request cannot be used; the text says what, why and the cure.

    Args:
        what: What happened, naming the file, option or stream.
        cause: Why.
        cure: What to do about it.
    """

    def __init__(self, what: str, cause: str, cure: str) -> None:
        super().__init__(f"{what}: {cause}; {cure}")
        self.what = what
        self.cause = cause
        self.cure = cure


class CaptureError(MarketDataError):
    """A file is not a usable capture: choose or fetch another one."""


class OptionError(MarketDataError):
    """An option has a value that means nothing: mend the call."""


class RigError(MarketDataError):
    """A virtual machine could not be had, or what ran there failed: its own words say why."""


class SubscriberError(MarketDataError):
    """A subscriber process ended before its work was done."""
