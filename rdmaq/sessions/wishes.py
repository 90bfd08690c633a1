"""Settings as users give them: looked at where they are given, and loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rdmaq import arguments

if TYPE_CHECKING:
    from rdmaq.verbs.link_settings import LinkSettings
    from rdmaq.verbs.settings import PairSettings


def link_settings(given: Any) -> LinkSettings | None:
    """Returns them, or None where there are none.

    Raises:
        TypeError: it is something else.
    """
    wish: LinkSettings | None = _wish("link_settings", given, "LinkSettings")
    return wish


def pair_settings(given: Any) -> PairSettings | None:
    """As `link_settings`."""
    wish: PairSettings | None = _wish("pair_settings", given, "PairSettings")
    return wish


def _wish(name: str, given: Any, kind: str) -> Any:
    if given is None:
        return None
    from rdmaq import verbs  # who has no RDMA does not load it

    if not isinstance(given, getattr(verbs, kind)):
        raise TypeError(
            f"{name}={arguments.shown(given)} is none: it is a {type(given).__name__}; give a "
            f"rdmaq.verbs.{kind}(...)"
        )
    return given
