"""A table's row: its owner updates it, a CPU or a NIC reads it. As table_hot.c has it.

A row is two slots of two lines; a line is a version and one payload word, the update's number. A
READ takes its words in any order: relaxed loads may each be stale, which is the same. READs behind
one another see what the ones before saw: an acquire fence. Where the NIC takes a line at one
moment, a line is one location.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Thread, Violation
from tests.model.steps import ACQUIRE, RELAXED, RELEASE, choose, fence, load, store

SLOTS = LINES = 2
CPU, THREE_READS, ONE_READ, LINE_READ = "CPU", "three READs", "one READ", "a READ of whole lines"


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str
    reader: str
    updates: int

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


def line_name(slot: int, line: int) -> str:
    """A line that is one location: (version, payload)."""
    return f"line[{slot}][{line}]"


def version_name(slot: int, line: int) -> str:
    """A line's version."""
    return f"version[{slot}][{line}]"


def payload_name(slot: int, line: int) -> str:
    """A line's payload."""
    return f"payload[{slot}][{line}]"


# ---- the owner ----


def update(world: World, number: int) -> Program:
    """write_row: update `number` goes to the slot that does not hold the one before."""
    if number > world.updates:
        return None
    slot = 0 if world.has("one_slot") else number % SLOTS
    for line in range(LINES) if world.has("first_line_first") else reversed(range(LINES)):
        body = write_whole_line if world.reader == LINE_READ else write_line
        went_on = yield from body(world, number, slot, line)
        if not went_on:
            return None
    return update, (world, number + 1)


def stops() -> Any:
    """The owner may be stopped, or killed, between any two of its stores."""
    return (yield choose((False, True), "(SIGSTOP)"))


def write_line(world: World, number: int, slot: int, line: int) -> Any:
    """write_line. Returns whether the owner lives."""
    version = version_name(slot, line)
    if (yield from stops()):
        return False
    if not world.has("not_marked"):
        yield store(version, 2 * number - 1, RELAXED, "write_line")
    if not world.has("no_store_order"):
        yield fence(RELEASE, "rq_store_order")
    if (yield from stops()):
        return False
    if world.has("version_first"):
        yield store(version, 2 * number, RELEASE, "write_line")
    yield store(payload_name(slot, line), number, RELAXED, "write_line")
    if (yield from stops()):
        return False
    order = RELAXED if world.has("version_not_released") else RELEASE
    yield store(version, 2 * number, order, "write_line")
    return True


def write_whole_line(world: World, number: int, slot: int, line: int) -> Any:
    """write_line, as who takes lines whole may see it."""
    place = line_name(slot, line)
    before = max(0, number - (1 if world.has("one_slot") else SLOTS))
    steps = [(2 * number - 1, before), (2 * number - 1, number), (2 * number, number)]
    if world.has("not_marked"):
        steps = [(2 * before, before), (2 * before, number), (2 * number, number)]
    for content in steps:
        if (yield from stops()):
            return False
        yield store(place, content, RELAXED, "write_line")
    return True


# ---- readers ----


def choose_slot(world: World, versions: tuple[int, int]) -> int:
    """rq_table_choose: the slot, or -1."""
    slot = 1 if versions[1] > versions[0] else 0
    if versions[slot] % 2:
        slot ^= 1
    if versions[slot] % 2:
        return -1
    if versions[slot ^ 1] >= versions[slot] + 2 and not world.has("stale_taken"):
        return -1
    return slot


def read_row(world: World, reads_left: int, seen: int) -> Program:
    """read_row by a CPU that maps the table; a try that fails is the last one here."""
    if reads_left == 0:
        return None
    order = RELAXED if world.has("version_not_acquired") else ACQUIRE
    first = yield load(version_name(0, 0), order, "read_row")
    second = yield load(version_name(1, 0), order, "read_row")
    slot = choose_slot(world, (first, second))
    if slot < 0:
        return read_row, (world, reads_left - 1, seen)
    return read_line, (world, reads_left, seen, slot, (first, second)[slot], 0)


def read_line(
    world: World, reads_left: int, seen: int, slot: int, version: int, line: int
) -> Program:
    """read_line, for one line after the other."""
    if line == LINES:
        return judge, (world, reads_left, seen, version // 2, version // 2)
    order = RELAXED if world.has("version_not_acquired") else ACQUIRE
    before = yield load(version_name(slot, line), order, "read_line")
    payload = yield load(payload_name(slot, line), RELAXED, "read_line")
    if not world.has("no_reader_fence"):
        yield fence(ACQUIRE, "read_line")
    after = yield load(version_name(slot, line), RELAXED, "read_line")
    if before != version or (after != version and not world.has("not_checked")):
        return read_row, (world, reads_left - 1, seen)
    if payload != version // 2:
        return judge, (world, reads_left, seen, version // 2, payload)
    return read_line, (world, reads_left, seen, slot, version, line + 1)


def load_all(places: Iterable[str]) -> Any:
    """One READ's words; that they come one after the other here binds none of them."""
    values = []
    for place in places:
        value = yield load(place, RELAXED, "rq_table_judge")
        values += [value]
    return values


def fetch_before(world: World, reads_left: int, seen: int) -> Program:
    """The first of three READs, of which rq_table_judge looks at the versions only."""
    if reads_left == 0:
        return None
    if world.reader == ONE_READ:
        return fetch_row, (world, reads_left, seen, None)
    places = itertools.product(range(SLOTS), range(LINES))
    found = yield from load_all(version_name(slot, line) for slot, line in places)
    before = [version if version % 2 == 0 else -1 for version in found]  # odd ones are all alike
    if not world.has("reads_not_fenced"):
        yield fence(ACQUIRE, "(NIC: fence)")
    return fetch_row, (world, reads_left, seen, tuple(before))


def fetch_row(world: World, reads_left: int, seen: int, before: tuple[int, ...] | None) -> Program:
    """The READ of the row, and the one after it."""
    first = yield load(version_name(0, 0), RELAXED, "rq_table_judge")
    second = yield load(version_name(1, 0), RELAXED, "rq_table_judge")
    slot = choose_slot(world, (first, second))
    version = (first, second)[slot]
    lines = range(LINES)
    if slot < 0 or (before is not None and any(before[slot * LINES + i] != version for i in lines)):
        return fetch_before, (world, reads_left - 1, seen)
    payloads = yield from load_all(payload_name(slot, line) for line in lines)
    if before is None:  # the versions of the lines behind the first one, of the same READ
        others = yield from load_all(version_name(slot, line) for line in lines[1:])
        if any(other != version for other in others):
            return fetch_before, (world, reads_left - 1, seen)
    wrong = next((p for p in payloads if p != version // 2), version // 2)
    if before is None:
        return judge, (world, reads_left, seen, version // 2, wrong)
    return fetch_after, (world, reads_left, seen, slot, version, wrong)


def fetch_after(
    world: World, reads_left: int, seen: int, slot: int, version: int, payload: int
) -> Program:
    """The last of three READs."""
    if not world.has("reads_not_fenced"):
        yield fence(ACQUIRE, "(NIC: fence)")
    for line in range(LINES):
        after = yield load(version_name(slot, line), RELAXED, "rq_table_judge")
        if after != version:
            return fetch_before, (world, reads_left - 1, seen)
    return judge, (world, reads_left, seen, version // 2, payload)


def fetch_lines(world: World, reads_left: int, seen: int) -> Program:
    """One READ by a NIC that takes each line at one moment, and the lines in any order."""
    if reads_left == 0:
        return None
    places = itertools.product(range(SLOTS), range(LINES))
    lines = yield from load_all(line_name(slot, line) for slot, line in places)
    slot = choose_slot(world, (lines[0][0], lines[LINES][0]))
    chosen = lines[slot * LINES : (slot + 1) * LINES]
    if slot < 0 or (chosen[1][0] != chosen[0][0] and not world.has("lines_differ")):
        return fetch_lines, (world, reads_left - 1, seen)
    number = chosen[0][0] // 2
    wrong = next((payload for _, payload in chosen if payload != number), number)
    return judge, (world, reads_left, seen, number, wrong)


def judge(world: World, reads_left: int, seen: int, number: int, payload: int) -> Call:
    """The laws: a row is of one update, and never older than what was seen before."""
    if payload != number:
        raise Violation(f"torn: update {number} is told, and a line is of {payload}")
    if number < seen:
        raise Violation(f"back in time: update {seen} was seen, now {number}")
    return READERS[world.reader], (world, reads_left - 1, number)


READERS: dict[str, Callable[..., Any]] = {
    CPU: read_row,
    THREE_READS: fetch_before,
    ONE_READ: fetch_before,
    LINE_READ: fetch_lines,
}


def scenario(
    mutation: str = "", *, reader: str = CPU, updates: int = 3, reads: int = 2
) -> dict[str, Any]:
    """An owner that may stop anywhere, and somebody who reads a row twice."""
    world = World(mutation, reader, updates)
    words: dict[str, Any] = {}
    for slot in range(SLOTS):
        for line in range(LINES):
            if reader == LINE_READ:
                words[line_name(slot, line)] = (0, 0)
            else:
                words |= {version_name(slot, line): 0, payload_name(slot, line): 0}

    def may_stop(threads: tuple[Thread, ...], newest: Callable[[str], Any]) -> str:
        """Whatever the owner left behind, who looks now can read the row."""

        def version(slot: int, line: int) -> int:
            if reader == LINE_READ:
                return int(newest(line_name(slot, line))[0])
            return int(newest(version_name(slot, line)))

        slot = choose_slot(world, (version(0, 0), version(1, 0)))
        if slot < 0 or any(version(slot, line) != version(slot, 0) for line in range(LINES)):
            return "unreadable: the owner stopped, and no slot is whole"
        return ""

    programs: dict[str, Call] = {
        "owner": (update, (world, 1)),
        "reader": (READERS[reader], (world, reads, 0)),
    }
    return {"initial": words, "programs": programs, "may_stop": may_stop, "first": "owner"}
