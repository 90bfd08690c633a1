"""Whether the books of a round over verbs keep the law: received + declared = published."""

from __future__ import annotations

from dataclasses import dataclass

from tests.stress._board import Board
from tests.stress._streams_plan import StreamRound

_BREAKS = ("torn", "doubled", "undeclared", "misplaced", "unbalanced")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamVerdict:
    """What a round came to.

    Attributes:
        finals: lines that passed all of an incarnation, summed over incarnations.
        absent: published while nobody of a line was there.
    """

    published: int
    incarnations: int
    finals: int
    received: int
    overrun: int
    absent: int
    joins: int
    cut_offs: int
    restarts_followed: int
    faults: list[str]


def judge(board: Board, plan: StreamRound) -> StreamVerdict:
    """Reads the books of a round that is over."""
    words, lines = board.words, range(len(plan.lines))
    accounts = [board.account(line) for line in lines]
    faults = [
        f"line {line}: {getattr(account, kind):,} {kind}"
        for line, account in zip(lines, accounts, strict=True)
        for kind in _BREAKS
        if getattr(account, kind)
    ]
    published = finals = 0
    for number in range(1, words.incarnation_count + 1):
        found, count = _judge_incarnation(board, number, len(plan.lines))
        faults += found
        finals += count
        published += board.incarnation(number).done
    last = board.incarnation(words.incarnation_count)
    if not last.is_ended:
        faults.append("the last publisher did not close its stream")
    faults += [
        f"line {line} did not come to the end of the stream"
        for line in lines
        if not last.finals[line].sequence
    ]
    if published < plan.message_count:
        faults.append(f"{published:,} published, and {plan.message_count:,} were wanted")
    return StreamVerdict(
        published=published,
        incarnations=words.incarnation_count,
        finals=finals,
        received=sum(account.received_all for account in accounts),
        overrun=sum(account.overrun_all for account in accounts),
        absent=sum(account.absent_all for account in accounts),
        joins=sum(words.lines[line].joins for line in lines),
        cut_offs=sum(words.lines[line].cut_offs for line in lines),
        restarts_followed=sum(words.lines[line].restarts_followed for line in lines),
        faults=faults,
    )


def _judge_incarnation(board: Board, number: int, line_count: int) -> tuple[list[str], int]:
    """A killed publisher takes with it what had not left its host: nobody can tell of that."""
    incarnation = board.incarnation(number)
    faults, count = [], 0
    for line in range(line_count):
        sequence = incarnation.finals[line].sequence
        if not sequence:
            continue
        count += 1
        least = incarnation.done if incarnation.is_ended else 0
        if not least <= sequence <= incarnation.intended:
            faults.append(
                f"incarnation {number}: line {line} accounts for {sequence:,}, and "
                f"{incarnation.done:,} to {incarnation.intended:,} were published"
            )
    return faults, count
