"""Checks of what users pass: each refuses in words what the layers below would choke on."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from rdmaq._fast import parse_bytes

_SIZE_MAX = 1 << 200  # who can use a size knows better bounds, and words for them
_UID_MAX = (1 << 32) - 2  # uid_t of Linux; (uid_t)-1 means 'nobody in particular'


def whole(name: str, value: Any, least: int, most: int, cure: str) -> int:
    """`value` as an int from `least` to `most`; numpy's integers are welcome, bools are not.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is out of range.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name}={value} is no whole number: it is a bool; {cure}")
    try:
        number = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name}={shown(value)} is no whole number: {error}; {cure}") from error
    if not least <= number <= most:
        raise ValueError(f"{name}={shown(value)}: must be {least:,} to {most:,}; {cure}")
    return number


def seconds(name: str, value: Any) -> float:
    """`value` as a time to wait, in seconds; below 0 is over already, infinite is for ever.

    Raises:
        TypeError: it is no real number.
        ValueError: it is nan.
    """
    cure = "give seconds, math.inf for ever"
    if isinstance(value, bool | str | bytes | bytearray):
        raise TypeError(f"{name}={shown(value)} is no time: it is a {type(value).__name__}; {cure}")
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}={shown(value)} is no number: {error}; {cure}") from error
    if math.isnan(number):
        raise ValueError(f"{name}=nan: it would never be over; {cure}")
    return number


def size_bytes(name: str, value: Any) -> int:
    """`value` as bytes: a whole number, or text such as "64KiB".

    Raises:
        ValueError: it is neither; or as text it is no size.
    """
    cure = "write bytes as a number, or a power of two such as '64KiB' or '16MiB'"
    if isinstance(value, str):
        try:
            return parse_bytes(value)
        except ValueError as error:
            raise ValueError(f"{name}={shown(value)}: {error}; {cure}") from error
    try:
        return whole(name, value, -_SIZE_MAX, _SIZE_MAX, cure)
    except TypeError as error:
        raise ValueError(str(error)) from error


def choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuses what is none of the choices.

    Raises:
        ValueError: it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(map(repr, choices))
        raise ValueError(f"{name}={shown(value)}: use one of {words}")


def user_ids(name: str, value: Any) -> frozenset[int]:
    """`value` as user numbers.

    Raises:
        TypeError: it is no collection of whole numbers.
        ValueError: one of them is no user number.
    """
    cure = "give a list of user numbers, for example [1000]"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name}={shown(value)} is no collection of numbers: {cure}")
    try:
        items = list(value)
    except TypeError as error:
        raise TypeError(f"{name}={shown(value)} cannot be gone through: {error}; {cure}") from error
    return frozenset(whole(name, item, 0, _UID_MAX, cure) for item in items)


def shown(value: Any) -> str:
    """As in code, but short."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
