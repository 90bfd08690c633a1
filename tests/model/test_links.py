"""Streams over verbs keep their laws in every interleaving, and each mutation breaks one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.model import (
    actions,
    backfilling,
    crediting,
    jumping,
    protecting,
    rejoining,
    replicating,
    resuming,
    sides,
    signalling,
    telling,
    turning,
)
from tests.model.explore import Explorer
from tests.model.naming import stands_in_the_code
from tests.model.report import Found

Scenario = Callable[..., dict[str, Any]]
STATES_MAX = 60_000


def explored(scenario: dict[str, Any]) -> Found:
    """Explore threads over a weak memory, or a protocol in whole actions."""
    if "programs" in scenario:
        return Explorer(**scenario).explore(STATES_MAX)
    return actions.explore(**scenario, states_max=STATES_MAX)


ONE_EACH = {"plan": replicating.ONE_EACH}
DEAD = {"peer_lives": False}
JOINS = {"is_open": False}
STARVED = {"chain_words": (1, 1, 1, 1), "receives": 1}
WIDE = {"chain_words": (2, 2, 2, 2, 2)}
SECOND = {"chain_words": (1, 1, 1), "is_first": False}
STOPS = {"frames": 2, "stops": True}
TWO, THREE = {"frames": 2}, {"frames": 3, "is_weak": False}
FAILS = {"lasts": (3,), "troubles": 1}
RESTARTS = {"lasts": (2, 2), "troubles": 1}
REFUSED = {"refusal_ends": True}

SOUND: dict[str, tuple[Scenario, dict[str, Any]]] = {
    "chains": (replicating.scenario, {}),
    "a chain for each frame": (replicating.scenario, ONE_EACH),
    "credits": (crediting.scenario, {}),
    "wide chains under credits": (crediting.scenario, WIDE),
    "starved of credits": (crediting.scenario, STARVED),
    "credits of a second link": (crediting.scenario, SECOND),
    "source": (protecting.scenario, {}),
    "source, dead peer": (protecting.scenario, DEAD),
    "source, joining": (protecting.scenario, JOINS),
    "source, joining a dead peer": (protecting.scenario, DEAD | JOINS),
    "turns": (turning.scenario, TWO),
    "turns, three frames": (turning.scenario, THREE),
    "turns, and the end": (turning.scenario, STOPS),
    "slots": (signalling.scenario, {}),
    "lagging": (resuming.scenario, {}),
    "failing": (resuming.scenario, FAILS),
    "failing, restarting": (resuming.scenario, RESTARTS),
    "backfill": (backfilling.scenario, {}),
    "jumping": (jumping.scenario, {}),
    "reliable": (telling.scenario, {}),
}

# Mutation, the scenario that catches it with its choices, and what the counterexample says.
MUTATIONS: list[tuple[str, Scenario, dict[str, Any], str]] = [
    # Chains into a replica.
    ("data_past_guard", replicating.scenario, {}, "EBADMSG"),
    ("data_past_guard", replicating.scenario, REFUSED, "torn or stale"),
    ("coalesced_past_guard", replicating.scenario, {}, "EBADMSG"),
    ("coalesced_past_guard", replicating.scenario, REFUSED, "torn or stale"),
    ("tail_before_data", replicating.scenario, {}, "EBADMSG"),
    ("tail_before_data", replicating.scenario, REFUSED, "torn or stale"),
    ("tail_by_reference", replicating.scenario, {}, "EBADMSG"),
    ("tail_by_reference", replicating.scenario, REFUSED, "torn or stale"),
    ("cut_in_a_frame", replicating.scenario, {}, "EBADMSG"),
    ("writes_unordered", replicating.scenario, {}, "EBADMSG"),
    ("writes_unordered", replicating.scenario, REFUSED, "torn or stale"),
    ("guard_0", replicating.scenario, REFUSED, "torn or stale"),
    # WRITE_WITH_IMM under credits.
    ("window_by_completion", crediting.scenario, WIDE, "torn or stale"),
    ("tail_before_completion", crediting.scenario, {}, "torn or stale"),
    ("credit_before_tail", crediting.scenario, {}, "torn or stale"),
    ("credit_before_receive", crediting.scenario, STARVED, "receive not ready"),
    ("credit_ignored", crediting.scenario, STARVED, "receive not ready"),
    ("stale_generation", crediting.scenario, SECOND, "receive not ready"),
    ("credit_lost", crediting.scenario, STARVED, "no end can be reached"),
    ("starved_reads_nothing", crediting.scenario, STARVED, "no end can be reached"),
    # The source of what is in flight.
    ("source_overwritten", protecting.scenario, {}, "sends 8 as 4"),
    ("freed_when_posted", protecting.scenario, {}, "sends 8 as 4"),
    ("only_what_flies", protecting.scenario, {}, "sends 8 as 4"),
    ("released_early", protecting.scenario, {}, "sends 8 as 4"),
    ("not_flushed", protecting.scenario, DEAD, "sends 8 as 4"),
    ("limit_kept", protecting.scenario, JOINS, "sends .* as"),
    ("left_connected", protecting.scenario, DEAD, "stuck: the publisher waits"),
    ("lag_ignored", protecting.scenario, DEAD, "stuck: the publisher waits"),
    # Who posts and polls.
    ("no_word_left", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("word_unread", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("not_rung", turning.scenario, STOPS, "stuck: it failed, and is never flushed"),
    ("waiting_not_rung", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("rings_by_what_it_saw", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("not_armed", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("unlooked", turning.scenario, THREE, "stuck: .* frames are sent"),
    ("released_outside", turning.scenario, STOPS, "and the link was told to be flushed"),
    # Slots.
    ("slot_freed_early", signalling.scenario, {}, "the send queue overflows"),
    ("credit_off_by_one", signalling.scenario, {}, "the send queue overflows"),
    ("signal_lost", signalling.scenario, {}, "stuck: 0 of 4 requests are reported"),
    ("queue_for_signalled", signalling.scenario, {}, "the completion queue overflows"),
    ("unsignalled_dropped", signalling.scenario, {}, "told to be done, and was not"),
    ("error_implies_all", signalling.scenario, {}, "while the device reads its source"),
    # The next link.
    ("taken_as_undelivered", resuming.scenario, FAILS, "the replica's tail runs back"),
    ("taken_as_delivered", resuming.scenario, FAILS, "torn or stale"),
    ("queue_pair_kept", resuming.scenario, {"lasts": (4,), "troubles": 1}, "tail runs back"),
    ("tail_read_first", resuming.scenario, {"lasts": (4,), "troubles": 1}, "tail runs back"),
    ("jump_untold", resuming.scenario, {"troubles": 1}, "torn or stale"),
    ("stale_reply", resuming.scenario, FAILS, "stuck: the replica ends"),
    ("stale_generation", resuming.scenario, {"lasts": (3,), "troubles": 2}, "by an older Connect"),
    ("old_epoch_accepted", resuming.scenario, RESTARTS, "torn or stale"),
    ("replica_kept", resuming.scenario, RESTARTS, "tail runs back"),
    # Backfill, and the switch.
    ("tail_1_not_read", backfilling.scenario, {}, "torn or stale"),
    ("read_beyond_tail_0", backfilling.scenario, {}, "torn or stale"),
    ("reads_unfenced", backfilling.scenario, {}, "torn or stale"),
    ("guard_0", backfilling.scenario, {}, "torn or stale"),
    ("data_past_guard", backfilling.scenario, {}, "torn or stale"),
    ("not_bridged", backfilling.scenario, {}, "torn or stale"),
    ("bridged_at_once", backfilling.scenario, {}, "torn or stale"),
    ("switch_leaves_hole", backfilling.scenario, {}, "torn or stale"),
    ("switch_overlaps", backfilling.scenario, {}, "repeats: the tail runs back"),
    # Who was lapped by a jump, and a stream that falls idle.
    ("sequence_not_released", jumping.scenario, {}, "it declares what is missing up to"),
    ("not_looked_again", jumping.scenario, {}, "it declares what is missing up to"),
    ("tail_not_compared", jumping.scenario, {}, "nobody vouches for that"),
    # Cursors of a reliable stream.
    ("stored_unlocked", telling.scenario, {}, "is lapped at .* though reliable"),
    ("joined_below", telling.scenario, {}, "is lapped at .* though reliable"),
    ("cursor_at_tail", telling.scenario, {}, "is lapped at .* though reliable"),
]


@pytest.mark.parametrize("name", SOUND)
def test_every_law_of_links_holds_in_every_state(name: str) -> None:
    """Explore all states of the unmutated protocol; each step stands in a function that exists."""
    scenario, choices = SOUND[name]
    found = explored(scenario(**choices))
    print(f"{name}: {found.state_count:,} states")
    assert not found.broken, f"{name}: a law is broken:\n{found}"
    assert not {place for place in found.places if not stands_in_the_code(place)}


@pytest.mark.parametrize(
    ("mutation", "scenario", "choices", "says"),
    [
        pytest.param(*row, id=f"{row[1].__module__.rpartition('.')[2]}-{row[0]}-{number}")
        for number, row in enumerate(MUTATIONS)
    ],
)
def test_mutation_of_links_yields_a_counterexample(
    mutation: str, scenario: Scenario, choices: dict[str, Any], says: str
) -> None:
    """Explore the same states with one thing changed, up to the first broken law."""
    found = explored(scenario(mutation, **choices))
    print(f"{mutation}, caught after {found.state_count:,} states:\n{found}")
    assert re.search(says, found.broken), f"{mutation} was not caught: {found}"
    assert found.trace


def test_every_mutation_that_a_model_knows_is_tried() -> None:
    """What the models can do wrong, by their source, against the table above."""
    modules = (backfilling, crediting, jumping, protecting, rejoining, replicating, resuming)
    known = set()
    for module in (*modules, sides, signalling, telling, turning):
        known |= set(re.findall(r"""has\("(\w+)"\)""", inspect.getsource(module)))
    assert known | {"guard_0"} == {row[0] for row in MUTATIONS}
