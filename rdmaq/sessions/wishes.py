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
    if given is None:
        return None
    from rdmaq.verbs.link_settings import LinkSettings  # who has no RDMA does not load it

    if not isinstance(given, LinkSettings):
        raise _other("link_settings", given, "LinkSettings")
    return given


def pair_settings(given: Any) -> PairSettings | None:
    """Returns them, or None where there are none.

    Raises:
        TypeError: it is something else.
    """
    if given is None:
        return None
    from rdmaq.verbs.settings import PairSettings

    if not isinstance(given, PairSettings):
        raise _other("pair_settings", given, "PairSettings")
    return given


def _other(name: str, given: Any, wanted: str) -> TypeError:
    return TypeError(
        f"{name}={arguments.shown(given)} is none: it is a {type(given).__name__}; give a "
        f"rdmaq.verbs.{wanted}(...)"
    )
