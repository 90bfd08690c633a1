"""`scripts/stress ring`, kept short; and its checks, which must be able to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stress._board import Board, ffi, lib
from tests.stress._judge import judge
from tests.stress._leftovers import Holdings
from tests.stress._plan import Round, plan

ROOT = Path(__file__).parents[2]


def stress(*options: str) -> list[dict[str, Any]]:
    """The run's lines: its seed, each round, and all together. It must find nothing."""
    program = [sys.executable, "-m", "tests.stress.ring", *options]
    done = subprocess.run(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ring_keeps_its_law_while_its_processes_are_killed() -> None:
    """A million messages a flow, 1 to 8 readers, 300 kills: all is conserved, nothing is left."""
    *_, total = stress("--messages", "1e6", "--kills", "300", "--seed", "7")
    assert total["published"] >= 2_000_000
    assert total["publishers_killed"] + total["readers_killed"] == 300
    assert min(total["publishers_killed"], total["stops"]) > 0
    # What must have happened for the run to show something.
    for name in ("received", "upstream", "overrun", "finals", "restarts_followed"):
        assert total[name] > 0, name


def test_reliable_ring_loses_nothing_but_upstream() -> None:
    """Nobody is killed, a reader is stopped: every message to everybody, or the cut-off told."""
    _, *rounds, _ = stress("--messages", "4e5", "--kills", "0", "--flow", "reliable", "--seed", "8")
    assert len(rounds) == 8
    for played in rounds:
        if played["cut_offs"] == 0:
            assert played["overrun"] == 0, played
    assert any(played["cut_offs"] == 0 and played["upstream"] for played in rounds)


def test_seed_makes_the_same_choices() -> None:
    """And another seed makes others."""
    assert plan(5, ("lossy",), 1000, 10, 8) == plan(5, ("lossy",), 1000, 10, 8)
    assert plan(5, ("lossy",), 1000, 10, 8) != plan(6, ("lossy",), 1000, 10, 8)
    assert sum(chosen.kill_count for chosen in plan(5, ("lossy", "reliable"), 9, 100, 8)) == 100


def lossy_round() -> Round:
    return plan(1, ("lossy",), 10, 0, 1)[0]


def good_books() -> Board:
    """Ten sequences, three of them lost upstream, two overrun, and the end."""
    board = Board()
    words = board.words
    words.incarnation_count = 1
    incarnation = board.incarnation(1)
    incarnation.epoch, incarnation.is_ended = 99, 1
    lib.board_intend(words, 1, 10)
    lib.board_have_done(words, 1, 10, 3)
    lib.board_turn(words, 0, lib.board_incarnation_of(words, 99))
    lib.board_take(words, 0, 1, 4, 0)
    lib.board_take_gap(words, 0, 5, 7, 1, 0)
    lib.board_take_gap(words, 0, 8, 9, 0, 0)
    lib.board_take(words, 0, 10, 10, 0)
    lib.board_finish(words, 0)
    return board


def test_good_books_have_no_faults() -> None:
    """The control."""
    verdict = judge(good_books(), lossy_round())
    assert verdict.faults == []
    assert (verdict.received, verdict.upstream, verdict.overrun) == (5, 3, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda words: lib.board_take(words, 0, 11, 12, 1), "1 torn"),
        (lambda words: lib.board_take(words, 0, 9, 10, 0), "2 doubled"),
        (lambda words: lib.board_take(words, 0, 16, 16, 0), "5 undeclared"),
        (lambda words: lib.board_take_gap(words, 0, 11, 11, 0, 1), "1 misplaced"),
    ],
)
def test_break_of_the_law_is_told(call: Any, says: str) -> None:
    """One wrong batch behind the good ones."""
    board = good_books()
    call(board.words)
    assert any(says in fault for fault in judge(board, lossy_round()).faults)


@pytest.mark.parametrize(
    ("word", "value", "says"),
    [
        ("done", 11, "line 0 accounts for 10, and between 11"),
        ("intended", 9, "line 0 accounts for 10"),
        ("upstream", 2, "told of 3 lost upstream, and 2 were"),
        ("is_ended", 0, "did not close"),
    ],
)
def test_books_that_disagree_are_told(word: str, value: int, says: str) -> None:
    """The publisher's side is not what the reader's says."""
    board = good_books()
    setattr(board.incarnation(1), word, value)
    assert any(says in fault for fault in judge(board, lossy_round()).faults)


def test_line_that_stays_behind_is_told() -> None:
    """It passed nothing of the last incarnation."""
    board = good_books()
    board.incarnation(1).finals[0].sequence = 0
    assert judge(board, lossy_round()).faults == ["line 0 did not come to the end of the stream"]


@pytest.mark.parametrize("byte", [0, 9, 17, 31])
def test_one_wrong_bit_is_a_torn_record(byte: int) -> None:
    """In the sequence, in its words, in the checksum; and a record at another's place."""
    records = ffi.new("uint8_t[]", 32 * 50)
    lib.board_fill_records(records, 32, 3, 100, 50)
    assert lib.board_torn_records(records, 32, 3, 100, 50) == 0
    assert lib.board_torn_records(records, 32, 3, 101, 50) == 50
    assert lib.board_torn_records(records, 32, 4, 100, 50) == 50
    records[7 * 32 + byte] ^= 4
    assert lib.board_torn_records(records, 32, 3, 100, 50) == 1


def test_wrong_length_or_bytes_are_a_torn_message() -> None:
    """As a copied batch has them: payloads in a row."""
    blocks = ffi.new("uint8_t[]", 202 * 50)
    lib.board_fill_blocks(blocks, 3, 100, 50)
    data, offsets, at = bytearray(), [0], 0
    for _ in range(50):
        size = blocks[at] << 8 | blocks[at + 1]
        data += bytes(blocks[at + 2 : at + 2 + size])
        offsets.append(len(data))
        at += 2 + size
    words = ffi.new("uint32_t[]", offsets)

    def torn(data: bytearray) -> int:
        return int(lib.board_torn_messages(ffi.from_buffer(data), words, 1, 3, 100, 50))

    assert torn(data) == 0
    data[offsets[20]] ^= 1
    assert torn(data) == 1
    words[10] += 1
    assert torn(data) == 3


def test_leftovers_are_seen() -> None:
    """A descriptor of rdmaq's memory that stays open."""
    before = Holdings.of_self()
    before.check("nobody")
    fd = os.memfd_create("rdmaq-segment")
    try:
        assert Holdings.of_self().memfds == before.memfds + 1
        with pytest.raises(AssertionError, match="the test holds"):
            before.check("the test")
    finally:
        os.close(fd)
