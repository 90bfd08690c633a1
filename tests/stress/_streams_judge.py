"""Whether the books of a round over verbs keep the law: received + declared = published."""

from __future__ import annotations

from dataclasses import dataclass

from tests.stress._board import Board
from tests.stress._law import breaks, misfits, passed, too_few
from tests.stress._streams_plan import StreamRound


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
    faults = breaks(accounts)
    published = final_count = 0
    for number in range(1, words.incarnation_count + 1):
        incarnation = board.incarnation(number)
        finals = passed(incarnation, len(plan.lines))
        final_count += len(finals)
        # A killed publisher takes with it what had not left its host: nobody can tell of that.
        least = incarnation.done if incarnation.is_ended else 0
        faults += misfits(number, incarnation, finals, least)
        published += incarnation.done
    last = board.incarnation(words.incarnation_count)
    if not last.is_ended:
        faults.append("the last publisher did not close its stream")
    faults += [
        f"line {line} did not come to the end of the stream"
        for line in lines
        if not last.finals[line].sequence
    ]
    faults += too_few(published, plan.message_count)
    return StreamVerdict(
        published=published,
        incarnations=words.incarnation_count,
        finals=final_count,
        received=sum(account.received_all for account in accounts),
        overrun=sum(account.overrun_all for account in accounts),
        absent=sum(account.absent_all for account in accounts),
        joins=sum(words.lines[line].joins for line in lines),
        cut_offs=sum(words.lines[line].cut_offs for line in lines),
        restarts_followed=sum(words.lines[line].restarts_followed for line in lines),
        faults=faults,
    )
