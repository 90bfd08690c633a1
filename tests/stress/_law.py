"""What both judges ask of a round's books: received + declared = published, each once and whole."""

from __future__ import annotations

from typing import Any

_BREAKS = ("torn", "doubled", "undeclared", "misplaced", "unbalanced")


def breaks(accounts: list[Any]) -> list[str]:
    """Of each line's account: what was counted that must never be."""
    return [
        f"line {line}: {getattr(account, kind):,} {kind}"
        for line, account in enumerate(accounts)
        for kind in _BREAKS
        if getattr(account, kind)
    ]


def passed(incarnation: Any, line_count: int) -> dict[int, Any]:
    """How far each line got that passed all of the incarnation."""
    finals = {line: incarnation.finals[line] for line in range(line_count)}
    return {line: final for line, final in finals.items() if final.sequence}


def misfits(number: int, incarnation: Any, finals: dict[int, Any], least: int) -> list[str]:
    """Of the lines that passed it: whose account is not of what was published, `least` and more."""
    return [
        f"incarnation {number}: line {line} accounts for {final.sequence:,}, and between "
        f"{least:,} and {incarnation.intended:,} were published"
        for line, final in finals.items()
        if not least <= final.sequence <= incarnation.intended
    ]


def too_few(published: int, wanted: int) -> list[str]:
    """A round that ended early shows nothing."""
    return [f"{published:,} published, and {wanted:,} were wanted"] if published < wanted else []
