"""What `scripts/stress streams` plans, and its judge, who can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stress._board import Board, lib
from tests.stress._streams_judge import judge
from tests.stress._streams_plan import KINDS, StreamRound, plan


def test_seed_makes_the_same_choices() -> None:
    """And another seed makes others; every kind comes as often as any other."""
    assert plan(5, 1000, 21, 3, KINDS) == plan(5, 1000, 21, 3, KINDS)
    assert plan(5, 1000, 21, 3, KINDS) != plan(6, 1000, 21, 3, KINDS)
    blows = [blow.kind for chosen in plan(5, 1000, 21, 3, KINDS) for blow in chosen.blows]
    assert sorted(blows) == sorted(KINDS * 3)


def lossy_round() -> StreamRound:
    return next(r for r in plan(1, 40, 0, 20, KINDS) if r.flow == "lossy" and len(r.lines) == 1)


def good_books() -> Board:
    """A publisher that was killed behind its eighth message, and ten of the next one."""
    board = Board()
    words = board.words
    words.incarnation_count = 2
    for number, done in ((1, 8), (2, 10)):
        board.incarnation(number).epoch = number
        lib.board_intend(words, number, done)
        lib.board_have_done(words, number, done, 0)
    lib.board_turn(words, 0, 1)
    lib.board_take(words, 0, 1, 6, 0)
    lib.board_finish(words, 0)
    lib.board_turn(words, 0, 2)
    lib.board_be_absent(words, 0, 3)
    lib.board_take_gap(words, 0, 3, 7, 0, 0)
    lib.board_take(words, 0, 8, 10, 0)
    lib.board_finish(words, 0)
    board.incarnation(2).is_ended = 1
    return board


def test_good_books_have_no_faults() -> None:
    """The control: what had not left a killed publisher's host is no loss."""
    verdict = judge(good_books(), lossy_round())
    assert verdict.faults == []
    assert (verdict.received, verdict.overrun, verdict.absent) == (9, 5, 2)
    assert verdict.finals == 2


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda words: lib.board_take(words, 0, 11, 12, 1), "1 torn"),
        (lambda words: lib.board_take(words, 0, 9, 10, 0), "2 doubled"),
        (lambda words: lib.board_take(words, 0, 16, 16, 0), "5 undeclared"),
    ],
)
def test_break_of_the_law_is_told(call: Any, says: str) -> None:
    """One wrong batch behind the good ones."""
    board = good_books()
    call(board.words)
    assert any(says in fault for fault in judge(board, lossy_round()).faults)


@pytest.mark.parametrize(
    ("number", "word", "value", "says"),
    [
        (1, "intended", 5, "incarnation 1: line 0 accounts for 6"),
        (2, "done", 11, "incarnation 2: line 0 accounts for 10"),
        (2, "intended", 9, "incarnation 2: line 0 accounts for 10"),
        (2, "is_ended", 0, "did not close"),
    ],
)
def test_books_that_disagree_are_told(number: int, word: str, value: int, says: str) -> None:
    """The publisher's side is not what the reader's says."""
    board = good_books()
    setattr(board.incarnation(number), word, value)
    assert any(says in fault for fault in judge(board, lossy_round()).faults)


def test_line_that_stays_behind_is_told() -> None:
    """It passed nothing of the last incarnation."""
    board = good_books()
    board.incarnation(2).finals[0].sequence = 0
    assert judge(board, lossy_round()).faults == ["line 0 did not come to the end of the stream"]
