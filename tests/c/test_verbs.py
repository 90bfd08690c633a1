"""The verbs data path over a NIC of the test's own: it passes, and its mistakes are noticed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.c.test_c import PRESETS, build

FOLDER = Path(__file__).parent / "verbs"
SUPPORT = {
    "begin", "fake_nic", "linked", "linked_end", "linked_stream", "wire", "world", "world_aside",
}  # fmt: skip
PROGRAMS = sorted({path.stem for path in FOLDER.glob("*.c")} - SUPPORT)

# The program, the mutations that it must notice, and what it says then (one of several).
MUTATIONS = {
    "random_steps_report_each_request_once": {
        "CREDIT_OFF_BY_ONE": "world_post: result is",
        "SIGNAL_LOST": "outstanding",
        "SLOT_FREED_EARLY": "qp->posted - qp->freed < qp->send_count",
        "REFUSED_ONE_LATE": "after.posted",
        "REFUSED_ONE_EARLY": "after.posted",
        "COVER_FORGOTTEN": "outstanding",
        "RECEIVE_CREDIT_LOST": "world_post: result is",
        "RECEIVE_CREDIT_IGNORED": "world_post: result is",
        "FAILURE_FORGOTTEN": "verdict",
        "FULL_ARRAY_FORGETS": "check_send|check_receive",
        "STRANGER_BELIEVED": "check_send",
        "FLUSH_TRUSTED": "verdict",
    },
    "random_steps_of_links_lose_nothing_unsaid": {
        "DATA_PAST_GUARD": "linked_read|linked_check_message|rq_replica_restart",
        "TAIL_BEFORE_DATA": "linked_read|linked_check_message|rq_replica_restart",
        "SOURCE_OVERWRITTEN": "linked_read|linked_check_message|rq_replica_restart",
        "RELEASED_EARLY": "linked_read|linked_check_message|rq_replica_restart",
        "STALE_GENERATION": "qp->receives_used < qp->receives_posted",
        "TAIL1_NOT_READ": "result >= 0|linked_check_message|linked_read",
        "TAIL1_NOT_FENCED": "result >= 0|linked_check_message|linked_read",
        "READ_BEYOND_TAIL0": "result >= 0|linked_check_message|linked_read",
        "CREDIT_LOST": "credits_granted",
        "GUARD_PER_CHAIN": "linked_read|linked_check_message|rq_replica_restart",
        "CHAIN_ENDS_IN_A_FRAME": "result >= 0|linked_read",
    },
    "sleeper_misses_no_completion": {
        "NOT_POLLED_AGAIN": "is 0, expected 1",
        "EVENT_NOT_ACKNOWLEDGED": "events_acked",
    },
}

# In test_stepped_links.py: a whole turn at a time shows nothing of them.
BY_STEPS = [
    "WORD_NOT_LEFT",
    "WORD_UNREAD",
    "RELEASED_OUTSIDE",
    "FAILURE_NOT_RUNG",
    "WAITING_NOT_RUNG",
    "WAITING_NOT_ARMED",
]


def run(preset: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = {
        "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return subprocess.run(
        [build(preset) / program, *arguments],
        env=os.environ | options,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=100,
    )


def test_every_mutation_is_named_here() -> None:
    """The header against the table above."""
    header = (Path(__file__).parents[2] / "csrc" / "rdma" / "mutation.h").read_text()
    named = [mutation for mutations in MUTATIONS.values() for mutation in mutations]
    named += BY_STEPS
    assert sorted(re.findall(r"each\((\w+)\)", header)) == sorted(["NONE", *named])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_verbs_program_passes(program: str, preset: str) -> None:
    """A failed check or a sanitizer's finding makes its status other than 0."""
    result = run(preset, program)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("program", [name for name in PROGRAMS if "thread" in name])
def test_threads_of_the_data_path_have_no_data_race(program: str) -> None:
    """By ThreadSanitizer; the NIC's own lock orders nothing that the data path relies on."""
    result = run("tsan", program)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("program", "mutation", "says"),
    [(program, *row) for program, rows in MUTATIONS.items() for row in rows.items()],
)
def test_mutated_data_path_is_noticed(program: str, mutation: str, says: str) -> None:
    """Run with one mistake compiled in: a check fails, and it is the check that should."""
    result = run("plain", f"{program}_mutated", mutation)
    assert result.returncode == 1, result.stdout
    assert any(words in result.stdout for words in says.split("|")), result.stdout
