"""What of this suite does not run over verbs, and why: everything else does.

A subscription over verbs is two queue pairs at either side and a bootstrap in between, up to a
second of an emulated machine. So where parameters only vary what Python does before a byte moves,
CI runs the first of them; and what takes long it leaves to `scripts/stress conformance`, which runs
all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conformance.rig import VERBS

_LEDGER = (
    "a replica has no ledger of what never came to it: all of that counts as overrun, also what "
    "upstream had lost of it"
)
#: By module, or by module and test.
NOT_OVER_VERBS = {
    "test_start_methods": "how a process is started says nothing of the transport; what a child "
    "inherits is in test_fork_and_pickle, and gRPC's own limits are not ours to test",
    "test_lapped::test_hole_is_split_into_what_upstream_lost_and_what_was_overrun": _LEDGER,
    "test_lapped::test_loss_upstream_that_no_ledger_entry_remembers_counts_as_overrun": _LEDGER,
    "test_subscriber_process::test_sleeping_subscriber_is_woken_by_a_send": "it counts the "
    "wakes of the publisher's CPU; over there the replica's owner wakes (test_async)",
    "test_async::test_event_loop_does_not_replace_a_ring_that_a_thread_reads": "over verbs a "
    "restart is followed by a thread that connects, not by who reads",
}

#: By module, or by module and test: of each test's parameters, CI runs the first.
FIRST_ONLY = frozenset(
    {
        "test_blocks",
        "test_buffers",
        "test_description",
        "test_interrupt",
        "test_interrupt_delivery",
        "test_messages",
        "test_poll",
        "test_poll_arguments",
        "test_schema",
        "test_sequences",
        "test_start",
        "test_threads",
        "test_too_few_readers",
    }
)
#: ... and these: a wait of each kind.
BESIDES_THE_FIRST = frozenset(
    {"view", "async for", "send_batch", "subscribe, no stream", "subscribe, no node"}
)

_DEATH = "a NIC tells no death: it is asked for another link for ten seconds"
#: CI leaves them out: why.
LONG = {
    "test_readers::test_one_reader_too_many_is_refused_and_a_freed_slot_is_given_again": "257 of "
    "them",
    "test_readers::test_slots_do_not_leak_when_readers_come_and_go": "768 links, one by one",
    "test_start::test_every_sequence_that_the_ring_holds_is_found_among_frames_of_all_lengths": "a "
    "link for each message of a ring",
    "test_lifetime::test_closing_gives_back_descriptors_and_mappings": "21 links, one by one",
    "test_async::test_publisher_that_stands_still_is_told_of_while_async_iteration_sleeps": "a "
    "process takes long to begin; tests/rdma/test_streams_recovery.py stops a publisher, too",
    "test_async::test_killed_publisher_wakes_async_iteration": _DEATH,
    "test_interrupt::test_interrupt_ends_waiting_for_the_next_incarnation": _DEATH,
    "test_publisher_process::test_follower_loses_nothing_of_either_epoch": _DEATH,
    "test_publisher_process::test_follower_outlives_its_peer": _DEATH,
    "test_publisher_process::test_killed_publisher_ends_iteration_with_its_exception": _DEATH,
    "test_publisher_process::test_killed_publisher_is_gone_after_everything_it_published": _DEATH,
    "test_publisher_process::test_new_incarnation_is_another_epoch_and_the_old_one_drains_first": (
        _DEATH
    ),
}

IS_WHOLE = os.environ.get("RDMAQ_CONFORMANCE") == "whole"


def _finds(place: str, table: Iterable[str]) -> str:
    """The entry for a test, or for its module; "": none."""
    return next((name for name in (place, place.partition("::")[0]) if name in table), "")


def runs(place: str) -> bool:
    """Whether a test ("module::test") runs over verbs now."""
    if _finds(place, NOT_OVER_VERBS):
        return False
    return IS_WHOLE or not _finds(place, LONG)


def surplus(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Those of our tests over verbs that CI need not run: all but the first of `FIRST_ONLY`."""
    seen: set[str] = set()
    dropped: list[pytest.Item] = []
    for item in items:
        if not isinstance(item, pytest.Function) or item.path.parent != Path(__file__).parent:
            continue
        place = f"{item.path.stem}::{item.originalname}"
        if not hasattr(item, "callspec") or item.callspec.params.get("transport") is not VERBS:
            continue
        is_kind = not BESIDES_THE_FIRST.isdisjoint(map(str, item.callspec.params.values()))
        if place in seen and _finds(place, FIRST_ONLY) and not is_kind:
            dropped.append(item)
        seen.add(place)
    return [] if IS_WHOLE else dropped
