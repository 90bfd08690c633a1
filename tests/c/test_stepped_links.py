"""Links' C, stepped by seed: it passes, and each mistake compiled into it is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.c.test_stepped import run

FOLDER = Path(__file__).parent / "stepped_links"

READ = "linked_read|linked_check_message|rq_replica_restart|go_on: failed: steps"

# The program, the mutations that it must notice, and what it says then (one of several). Those of
# the second table only a switch of tasks within a turn can show.
ALSO_BY_WHOLE_TURNS = {
    "link_leaves_nothing_behind": {
        "RELEASED_EARLY": "!is_flushed()",
        "SOURCE_OVERWRITTEN": "check_source",
        "DATA_PAST_GUARD": READ,
        "TAIL_BEFORE_DATA": READ,
    },
}
MUTATIONS = {
    "link_leaves_nothing_behind": {
        "WORD_NOT_LEFT": "goes round for ever",
        "WORD_UNREAD": "goes round for ever",
        "RELEASED_OUTSIDE": "!is_flushed()",
        "FAILURE_NOT_RUNG": "goes round for ever",
        "WAITING_NOT_RUNG": "goes round for ever",
        "WAITING_NOT_ARMED": "goes round for ever",
        "TAP_LIMIT_KEPT": "check_source",
    },
}


def test_every_program_is_named_here() -> None:
    """The folder against both tables."""
    assert {path.stem for path in FOLDER.glob("*.c")} == set(MUTATIONS) == set(ALSO_BY_WHOLE_TURNS)


@pytest.mark.parametrize("program", MUTATIONS)
def test_stepped_link_keeps_its_laws(program: str) -> None:
    """Run all its seeds on the link as it is."""
    result = run(program, "NONE")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("program", "mutation", "says"),
    [
        (program, *row)
        for table in (MUTATIONS, ALSO_BY_WHOLE_TURNS)
        for program, rows in table.items()
        for row in rows.items()
    ],
)
def test_mutated_link_is_noticed(program: str, mutation: str, says: str) -> None:
    """Run the same seeds on the link with one mistake: a check fails, not the program."""
    result = run(program, mutation)
    assert result.returncode == 1, result.stdout
    assert any(words in result.stdout for words in says.split("|")), result.stdout
