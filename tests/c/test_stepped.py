"""The ring's C, stepped by seed: it passes, and each mistake compiled into it is noticed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.c.test_c import build

FOLDER = Path(__file__).parent / "stepped"

# The program, the mutations that it must notice, and what it says then.
MUTATIONS = {
    "lapped_reader_never_takes_a_torn_message": {
        "GUARD_0": "ring_receive",
        "TAIL_BEFORE_DATA": "ring_receive",
        "CHECK_HOISTED": "memcmp",
        "HEADER_BEFORE_CHECK": "ring_receive",
        "WRITER_FENCE_GONE": "ring_receive",
    },
    "sleeper_is_woken_by_the_next_message": {
        "PUBLISHER_FENCE_GONE": "the reader sleeps",
        "READER_FENCE_GONE": "the reader sleeps",
        "CLEARED_AFTER_WAKE": "the reader sleeps",
    },
    "deferred_wake_is_made_up_for": dict.fromkeys(
        (
            "BELL_BEFORE_COUNT",
            "BELL_CLEARED_UNREAD",
            "READMITTED_UNLOOKED",
            "LEFT_FORGOTTEN",
            "REMOVAL_WAKES_NOBODY",
        ),
        "the reader sleeps",
    ),
    "cursor_that_runs_back_is_cut_off": {"CURSOR_RUNS_BACK": "is_open is 0"},
    "search_of_the_ledger_finds_what_it_has": {"SEARCHED_ONCE": "failed"},
    "joining_reader_gates_from_its_first_byte": dict.fromkeys(
        ("JOIN_RACE", "LIMIT_KEPT"), "stats.lost_overrun"
    ),
    "claim_leaves_room_for_who_joins": {"CLAIM_FORGOTTEN": "ring_receive"},
    "row_is_read_whole_and_survives_its_owner": {
        "TABLE_NOT_MARKED": "out[i]",
        "TABLE_VERSION_FIRST": "out[i]",
        "TABLE_NOT_CHECKED": "out[i]",
        "TABLE_ONE_SLOT": "taken",
        "TABLE_FIRST_LINE_FIRST": "taken",
    },
}

BY_LINKS = ["TAP_LIMIT_KEPT"]  # in test_stepped_links.py


def run(program: str, mutation: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [build("plain") / program, mutation],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )


def test_every_program_and_every_mutation_is_named_here() -> None:
    """The folder and the header against the table above."""
    assert {path.stem for path in FOLDER.glob("*.c")} == set(MUTATIONS) | {"stepper", "ring"}
    header = (Path(__file__).parents[2] / "csrc" / "ring" / "mutation.h").read_text()
    named = [mutation for mutations in MUTATIONS.values() for mutation in mutations]
    named += BY_LINKS
    assert sorted(re.findall(r"each\((\w+)\)", header)) == sorted(["NONE", *named])


@pytest.mark.parametrize("program", MUTATIONS)
def test_stepped_ring_keeps_its_laws(program: str) -> None:
    """Run all its seeds on the ring as it is."""
    result = run(program, "NONE")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("program", "mutation", "says"),
    [(program, *row) for program, rows in MUTATIONS.items() for row in rows.items()],
)
def test_mutated_ring_is_noticed(program: str, mutation: str, says: str) -> None:
    """Run the same seeds on the ring with one mistake: a check fails, not the program."""
    result = run(program, mutation)
    assert result.returncode == 1, result.stdout
    assert says in result.stdout, result.stdout
