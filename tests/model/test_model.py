"""The ring's algorithm keeps its laws in every interleaving, and each mutation of it breaks one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.model import gating, ledger, limiting, reading, restart, table, waking
from tests.model.explore import Explorer
from tests.model.gating import CLAIM, HOSTILE, LIVE, MEMBER, OLDEST, SEND, STOPPED
from tests.model.naming import stands_in_the_code
from tests.model.waking import FUTEX, SOCKET

Scenario = Callable[..., dict[str, Any]]
STATES_MAX = 100_000


THREE_READS = {"reader": table.THREE_READS}
LINE_READ = {"reader": table.LINE_READ}

# Name: the scenario, its choices, and the bodies that it must have passed through.
SOUND: dict[str, tuple[Scenario, dict[str, Any], str]] = {
    "copying": (reading.scenario, {}, "take_hole take_gap try_entry accept find_end find_nothing"),
    "borrowing": (reading.scenario, {"is_borrowing": True}, "take_hole use_borrowed find_end"),
    "ledger": (ledger.scenario, {}, "search believe judge"),
    "futex": (waking.scenario, {"tails": 3}, "sleep_until wake_readers"),
    "socket": (waking.scenario, {"tails": 3, "readers": (SOCKET,)}, "arm"),
    "two futexes": (waking.scenario, {"tails": 1, "readers": (FUTEX, FUTEX)}, "sleep_until"),
    "futex and socket": (waking.scenario, {"tails": 1, "readers": (FUTEX, SOCKET)}, "arm"),
    "asleep and cut off": (waking.scenario, {"tails": 1, "cuts_off": True}, "cut_off sleep_until"),
    "asleep and closed": (waking.scenario, {"tails": 1, "closes": True}, "wait_idle sleep_until"),
    "limited wakes": (limiting.scenario, {}, "defer made_up sleep_until_rung sleep_until"),
    "limited wakes by socket": (limiting.scenario, {"tails": 1, "readers": (SOCKET,)}, "defer arm"),
    "keeper taken away": (limiting.scenario, {"tails": 1, "removes": True}, "defer removed"),
    "gate": (gating.scenario, {}, "try_gate read write_end"),
    "gate with a timeout": (
        gating.scenario,
        {"frames": (SEND,) * 4, "is_patient": False},
        "try_gate await_word",
    ),
    "gate with a stopped reader": (
        gating.scenario,
        {"frames": (SEND,) * 3, "readers": (MEMBER, STOPPED), "is_patient": False},
        "try_gate write_end",
    ),
    "gate with a hostile reader": (
        gating.scenario,
        {"frames": (SEND,) * 4, "readers": (HOSTILE,), "is_patient": False},
        "lie try_gate write_end",
    ),
    "joining a reliable ring": (
        gating.scenario,
        {"frames": (SEND,) * 4, "readers": (OLDEST,)},
        "enlist",
    ),
    "joining beside a claim": (
        gating.scenario,
        {"frames": (SEND, CLAIM, SEND, CLAIM), "readers": (OLDEST,)},
        "enlist",
    ),
    "joining a waiting publisher": (
        gating.scenario,
        {"frames": (SEND, CLAIM) * 2, "readers": (LIVE,), "readers_min": 1},
        "enlist try_gate",
    ),
    "restart": (restart.scenario, {}, "look_around follow"),
    "table by a CPU": (table.scenario, {}, "update read_line judge"),
    "table by three READs": (table.scenario, THREE_READS, "fetch_before fetch_after judge"),
    "table by a READ of whole lines": (table.scenario, LINE_READ, "fetch_lines judge"),
}

# Mutation, the scenario that catches it with its choices, and what the counterexample says.
REFUSED = {"refusal_ends": True}
MUTATIONS: list[tuple[str, Scenario, dict[str, Any], str]] = [
    ("guard_0", reading.scenario, {}, "refused although the publisher is honest"),
    ("guard_0", reading.scenario, REFUSED, "torn or stale"),
    ("tail_before_data", reading.scenario, {}, "EBADMSG"),
    ("tail_before_data", reading.scenario, REFUSED, "torn or stale"),
    ("tail_not_released", reading.scenario, REFUSED, "torn or stale"),
    ("no_writer_fence", reading.scenario, {}, "refused although the publisher is honest"),
    ("no_writer_fence", reading.scenario, REFUSED, "torn or stale"),
    ("no_reader_fence", reading.scenario, REFUSED, "torn or stale"),
    ("check_hoisted", reading.scenario, {}, "torn or stale"),
    ("release_unchecked", reading.scenario, {"is_borrowing": True}, "torn or stale"),
    ("header_before_check", reading.scenario, {}, "refused although the publisher is honest"),
    ("header_before_check", reading.scenario, REFUSED, "stands whole|torn|follows"),
    ("hint_believed", reading.scenario, {}, "stands whole|never published"),
    ("guard_0", ledger.scenario, {}, "the first loss from .* not"),
    ("no_writer_fence", ledger.scenario, {}, "the first loss from .* not"),
    ("no_reader_fence", ledger.scenario, {}, "the first loss from .* not"),
    ("searched_once", ledger.scenario, {}, "told as overrun"),
    ("no_publisher_fence", waking.scenario, {}, "stuck: reader 0"),
    ("no_publisher_fence", waking.scenario, {"readers": (SOCKET,)}, "stuck: reader 0"),
    ("no_reader_fence", waking.scenario, {}, "stuck: reader 0"),
    ("no_reader_fence", waking.scenario, {"readers": (SOCKET,)}, "stuck: reader 0"),
    ("cleared_after_wake", waking.scenario, {}, "stuck: reader 0"),
    ("cleared_after_wake", waking.scenario, {"tails": 3, "readers": (SOCKET,)}, "stuck: reader 0"),
    ("seen_loaded_late", waking.scenario, {}, "stuck: reader 0"),
    ("cut_off_wakes_nobody", waking.scenario, {"cuts_off": True}, "stuck: reader 0"),
    ("close_wakes_once", waking.scenario, {"tails": 1, "closes": True}, "stuck: reader 0 closer"),
    ("bell_not_rung", limiting.scenario, {"tails": 1}, "stuck: reader 0"),
    ("bell_before_count", limiting.scenario, {"tails": 1}, "stuck: reader 0"),
    ("bell_cleared_unread", limiting.scenario, {"tails": 1}, "stuck: reader 0"),
    ("readmitted_unlooked", limiting.scenario, {"tails": 1}, "stuck: reader 0"),
    ("left_forgotten", limiting.scenario, {"tails": 1}, "stuck: reader 0"),
    ("no_fence_of_either", limiting.scenario, {}, "stuck: reader 0"),
    (
        "removal_wakes_nobody",
        limiting.scenario,
        {"tails": 1, "removes": True},
        "stuck: reader 0",
    ),
    (
        "cursor_runs_back",
        gating.scenario,
        {"frames": (SEND,) * 4, "readers": (HOSTILE,), "is_patient": False},
        "holds the gate shut",
    ),
    ("join_race", gating.scenario, {"readers": (OLDEST,)}, "has yet to read"),
    ("limit_kept", gating.scenario, {"readers": (OLDEST,)}, "has yet to read"),
    (
        "claim_forgotten",
        gating.scenario,
        {"frames": (SEND, SEND, CLAIM, CLAIM), "readers": (OLDEST,)},
        "is lapped at",
    ),
    ("told_before_copy", gating.scenario, {}, "is lapped at|has yet to read"),
    ("end_not_reserved", gating.scenario, {}, "is lapped at"),
    ("cut_off_untold", gating.scenario, {"is_patient": False}, "stuck: reader 0"),
    ("stale_epoch", restart.scenario, {}, "was delivered as position"),
    ("segment_reused", restart.scenario, {}, "was delivered as position"),
    ("tail_not_reloaded", restart.scenario, {}, "leaves epoch 1"),
    ("not_marked", table.scenario, {}, "torn"),
    ("version_first", table.scenario, {}, "torn"),
    ("no_store_order", table.scenario, {}, "torn"),
    ("version_not_released", table.scenario, {}, "torn"),
    ("version_not_acquired", table.scenario, {}, "torn"),
    ("no_reader_fence", table.scenario, {}, "torn"),
    ("not_checked", table.scenario, {}, "torn"),
    ("one_slot", table.scenario, {}, "unreadable"),
    ("first_line_first", table.scenario, {}, "unreadable"),
    ("not_marked", table.scenario, THREE_READS, "torn"),
    ("no_store_order", table.scenario, THREE_READS, "torn"),
    ("reads_not_fenced", table.scenario, THREE_READS, "torn"),
    ("", table.scenario, {"reader": table.ONE_READ}, "torn"),
    ("not_marked", table.scenario, LINE_READ, "torn"),
    ("lines_differ", table.scenario, LINE_READ, "torn"),
    ("stale_taken", table.scenario, LINE_READ, "back in time"),
    ("one_slot", table.scenario, LINE_READ, "unreadable"),
]


@pytest.mark.parametrize("name", SOUND)
def test_every_law_holds_in_every_state(name: str) -> None:
    """Explore all states of the unmutated algorithm; they include the cases that are named."""
    scenario, choices, bodies = SOUND[name]
    found = Explorer(**scenario(**choices)).explore(STATES_MAX)
    print(f"{name}: {found.state_count:,} states")
    assert not found.broken, f"{name}: a law is broken:\n{found}"
    assert set(bodies.split()) <= found.bodies
    assert not {place for place in found.places if not stands_in_the_code(place)}


@pytest.mark.parametrize(
    ("mutation", "scenario", "choices", "says"),
    [
        pytest.param(*row, id=f"{row[1].__module__.rpartition('.')[2]}-{row[0]}-{number}")
        for number, row in enumerate(MUTATIONS)
    ],
)
def test_mutation_yields_a_counterexample(
    mutation: str, scenario: Scenario, choices: dict[str, Any], says: str
) -> None:
    """Explore the same states with one thing changed, up to the first broken law."""
    found = Explorer(**scenario(mutation, **choices)).explore(STATES_MAX)
    print(f"{mutation}, caught after {found.state_count:,} states:\n{found}")
    assert re.search(says, found.broken), f"{mutation} was not caught: {found}"
    assert found.trace
