"""A choice of the conformance suite, its publishers in one machine and its readers in another."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator

import pytest

from rdmaq.rig import lifecycle, running
from rdmaq.rig.state import State
from tests.rig.support import ROOT, need_qemu, wish_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ADDRESS = "10.78.0.1"
SECONDS_MAX = 600
FOLDER = "tests/conformance"
#: In order and whole; refused; by frames, over many wraps; lapped, cut off, waited for; the end.
CHOICE = [
    "test_messages.py::test_messages_arrive_in_order_with_their_sequences",
    "test_messages.py::test_message_one_byte_too_long_is_refused_and_nothing_is_published"
    "[verbs-send_many]",
    "test_messages.py::test_batch_longer_than_the_guard_is_split_into_frames_without_loss",
    "test_sequences.py::test_typed_streams_declare_losses_too",
    "test_wrap.py::test_records_that_straddle_the_end_come_as_one_contiguous_array",
    "test_lapped.py::test_reader_that_stood_at_the_very_first_message_is_told_of_it",
    "test_readers.py::test_closed_reader_frees_a_reliable_publisher",
    "test_view.py::test_view_waits_for_messages_and_for_the_end",
]


@pytest.fixture
def two() -> Iterator[State]:
    need_qemu()
    wish = wish_for("streams", node_count=2)
    try:
        yield lifecycle.up(wish)
    finally:
        lifecycle.down(wish.name)


def test_readers_in_another_machine_get_what_the_suite_asks_for(two: State) -> None:
    """The same bodies: what a test calls of its publisher is called over there."""
    served: list[running.Completed] = []

    def serve() -> None:
        command = [sys.executable, "-m", "tests.conformance.far", ADDRESS]
        served.append(running.run(two, command, folder=ROOT, timeout=SECONDS_MAX))

    server = threading.Thread(target=serve)
    server.start()
    tests = [f"{FOLDER}/{test}" + ("" if "[" in test else "[verbs]") for test in CHOICE]
    options = ["-q", "-m", "rdma", "-o", "cache_dir=/tmp/rdmaq-pytest-cache"]
    command = ["env", f"RDMAQ_FAR={ADDRESS}", sys.executable, "-m", "pytest", *options, *tests]
    done = running.run(two, command, node=1, folder=ROOT, timeout=SECONDS_MAX)
    if done.status != 0:  # nobody may have come to be served
        lifecycle.down(two.name)
    server.join()
    words = done.stdout.decode() + done.stderr.decode()
    assert done.status == 0, words
    assert re.search(rf"^{len(CHOICE)} passed", words, re.M), words
    assert served[0].status == 0, served[0].stderr.decode()
