"""Whether a round's books keep the law: received + declared = published, each once and whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.stress._board import Board
from tests.stress._law import breaks, misfits, passed, too_few
from tests.stress._plan import PATIENT_SECONDS, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a round came to.

    Attributes:
        finals: lines that passed all of an incarnation, summed over incarnations: so often was
            received + declared held against published.
        received_share: the least that a line received, of what was not lost upstream.
    """

    published: int
    incarnations: int
    finals: int
    received: int
    upstream: int
    overrun: int
    joins: int
    cut_offs: int
    views_overrun: int
    restarts_followed: int
    received_share: float
    faults: list[str]


def judge(board: Board, plan: Round) -> Verdict:
    """Reads the books of a round that is over."""
    words = board.words
    lines = range(len(plan.lines))
    accounts = [board.account(line) for line in lines]
    faults = breaks(accounts)
    published, final_count = 0, 0
    for number in range(1, words.incarnation_count + 1):
        incarnation = board.incarnation(number)
        finals = passed(incarnation, len(plan.lines))
        final_count += len(finals)
        faults += _faults_of(number, incarnation, finals)
        published += max([incarnation.done, *(final.sequence for final in finals.values())])
        if number == words.incarnation_count:
            faults += _faults_of_last(plan, words, incarnation, finals)
    faults += too_few(published, plan.message_count)
    shares = [a.received_all / max(1, a.received_all + a.overrun_all) for a in accounts]
    if plan.pace and min(shares) <= 0.99:
        faults.append(f"a paced reader received {min(shares):.2%}")
    is_safe = plan.flow == "reliable" and plan.patience_seconds == PATIENT_SECONDS
    if is_safe and plan.kill_count == 0 and any(account.overrun_all for account in accounts):
        faults.append("a reliable stream lost messages, and nobody was killed or cut off")
    rows = [words.lines[line] for line in lines]
    return Verdict(
        published=published,
        incarnations=words.incarnation_count,
        finals=final_count,
        received=sum(account.received_all for account in accounts),
        upstream=sum(account.upstream_all for account in accounts),
        overrun=sum(account.overrun_all for account in accounts),
        joins=sum(row.joins for row in rows),
        cut_offs=sum(row.cut_offs for row in rows),
        views_overrun=sum(row.views_overrun for row in rows),
        restarts_followed=sum(row.restarts_followed for row in rows),
        received_share=min(shares),
        faults=faults,
    )


def _faults_of(number: int, incarnation: Any, finals: dict[int, Any]) -> list[str]:
    """Published is known up to the call in which the publisher was killed, and to all alike."""
    faults = misfits(number, incarnation, finals, incarnation.done)
    for line, final in finals.items():
        if final.sequence == incarnation.done and (
            final.upstream > incarnation.upstream
            or (final.overrun == 0 and final.upstream != incarnation.upstream)
        ):
            faults.append(
                f"incarnation {number}: line {line} was told of {final.upstream:,} lost upstream, "
                f"and {incarnation.upstream:,} were"
            )
    if len({final.sequence for final in finals.values()}) > 1:
        ends = {line: final.sequence for line, final in finals.items()}
        faults.append(f"incarnation {number}: the lines disagree about its end: {ends}")
    return faults


def _faults_of_last(plan: Round, words: Any, incarnation: Any, finals: dict[int, Any]) -> list[str]:
    """It closed its stream: everybody was there, but for who was cut off in the last moment."""
    faults = []
    if not incarnation.is_ended or incarnation.done != incarnation.intended:
        faults.append("the last publisher did not close its stream")
    for line in range(len(plan.lines)):
        is_excused = plan.flow == "reliable" and words.lines[line].cut_offs > 0
        if line not in finals and not is_excused:
            faults.append(f"line {line} did not come to the end of the stream")
    return faults
