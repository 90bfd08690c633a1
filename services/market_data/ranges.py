"""Ranges of sequences: [first, last], both inclusive, as truth files and reports have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Range = list[int]


def merge(ranges: Iterable[Sequence[int]]) -> list[Range]:
    """Sorts ranges and joins those that touch or overlap."""
    merged: list[Range] = []
    for first, last in sorted(ranges, key=lambda span: span[0]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


def append(ranges: list[Range], first: int, last: int) -> None:
    """Adds a range behind all others, joining it to the last one when they touch."""
    if ranges and first == ranges[-1][1] + 1:
        ranges[-1][1] = last
    else:
        ranges.append([first, last])


def message_count(ranges: Iterable[Sequence[int]]) -> int:
    """Counts the sequences of ranges that do not overlap."""
    return sum(last - first + 1 for first, last in ranges)
