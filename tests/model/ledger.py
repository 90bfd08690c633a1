"""The ledger of upstream losses, and a lapped reader's look into it. As ledger_hot.c has it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.model.machine import Call, Program, Violation
from tests.model.reading import all_done
from tests.model.steps import ACQUIRE, RELAXED, RELEASE, choose, fence, ghost, load, store

ENTRIES = 4  # RQ_LEDGER_ENTRIES is 4096
GAPS = ((3, 4), (7, 8), (11, 12), (15, 16), (19, 20), (23, 24))


class World(NamedTuple):
    """What does not change in a run."""

    mutation: str

    def has(self, mutation: str) -> bool:
        """Tell whether this is the run with that mutation."""
        return self.mutation == mutation


def oldest_entry(world: World, count: int) -> int:
    """oldest_entry: the guard rule, with a guard of one entry."""
    guard = 0 if world.has("guard_0") else 1
    return 0 if count < ENTRIES else count - ENTRIES + guard


def write(world: World, count: int) -> Program:
    """rq_send_gap: rq_write_ledger, then the gap's frame, which is only its tail here."""
    if count == len(GAPS):
        return None
    if not world.has("no_writer_fence"):
        yield fence(RELEASE, "begin_burst")
    first, last = GAPS[count]
    yield store(f"entry[{count % ENTRIES}].first", first, RELAXED, "rq_write_ledger")
    yield store(f"entry[{count % ENTRIES}].last", last, RELAXED, "rq_write_ledger")
    yield store("ledger_count", count + 1, RELEASE, "rq_write_ledger")
    yield store("tail", count + 1, RELEASE, "finish_frame")
    return write, (world, count + 1)


def look(world: World) -> Program:
    """A reader has passed a tail, and asks about a sequence below it."""
    tail = yield load("tail", ACQUIRE, "rq_peek_frame")
    if tail == 0:
        return None
    sequence = yield choose(tuple(range(1, GAPS[tail - 1][1] + 1)), "take_hole")
    count = yield load("ledger_count", ACQUIRE, "rq_ledger_find")
    return search, (world, tail, sequence, count, oldest_entry(world, count), count)


def search(world: World, tail: int, sequence: int, count: int, low: int, high: int) -> Program:
    """The loop of rq_ledger_find."""
    if low == high:
        return believe, (world, tail, sequence, count, low)
    middle = low + (high - low) // 2
    last = yield load(f"entry[{middle % ENTRIES}].last", RELAXED, "rq_ledger_find")
    if last < sequence:
        return search, (world, tail, sequence, count, middle + 1, high)
    return search, (world, tail, sequence, count, low, middle)


def believe(world: World, tail: int, sequence: int, count: int, low: int) -> Program:
    """The end of rq_ledger_find: re-load, then believe."""
    if low >= count:
        return judge, (world, tail, sequence, None)
    first = yield load(f"entry[{low % ENTRIES}].first", RELAXED, "rq_ledger_find")
    last = yield load(f"entry[{low % ENTRIES}].last", RELAXED, "rq_ledger_find")
    if not world.has("no_reader_fence"):
        yield fence(ACQUIRE, "rq_ledger_find")
    count = yield load("ledger_count", ACQUIRE, "rq_ledger_find")
    if low < oldest_entry(world, count):
        if world.has("searched_once"):
            return judge, (world, tail, sequence, None)
        return search, (world, tail, sequence, count, oldest_entry(world, count), count)
    is_found = first <= last and last >= sequence
    return judge, (world, tail, sequence, (first, last) if is_found else None)


def judge(world: World, tail: int, sequence: int, found: tuple[int, int] | None) -> Program:
    """The law: the first loss that ends at the sequence or later, among those not forgotten."""
    right = next(number for number, gap in enumerate(GAPS) if gap[1] >= sequence)
    forgotten = (yield ghost("ledger_count")) - ENTRIES  # the last one that is
    if found is None:
        if forgotten < right < tail:
            raise Violation(f"the loss {GAPS[right]} is told as overrun, and the ledger has it")
    elif found not in GAPS:
        raise Violation(f"{found} is torn: no such loss")
    elif GAPS.index(found) < right or max(right, forgotten + 1) < GAPS.index(found):
        raise Violation(f"the first loss from {sequence} on is {GAPS[right]}, not {found}")
    return None


def scenario(mutation: str = "") -> dict[str, Any]:
    """Six losses in a ledger of four entries."""
    world = World(mutation)
    words: dict[str, Any] = {"tail": 0, "ledger_count": 0}
    for entry in range(ENTRIES):
        words |= {f"entry[{entry}].first": 0, f"entry[{entry}].last": 0}
    programs: dict[str, Call] = {"publisher": (write, (world, 0)), "reader": (look, (world,))}
    return {"initial": words, "programs": programs, "may_stop": all_done}
