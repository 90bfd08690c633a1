"""A random walk of one-sided operations against a model of the target's memory and of our own.

The model applies each operation in order to plain bytes; after every batch both memories must be
what the model says, byte for byte. The target may be in this process or in another machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

from rdmaq import verbs
from tests.rdma.ends import End

MASK = (1 << 64) - 1
KIB, MIB = 1 << 10, 1 << 20
SOURCE_BYTES = 256 * KIB
TARGET_BYTES = 256 * KIB
BATCH_MAX = 24
LANDING_BYTES = BATCH_MAX * (64 * KIB + 8)  # each READ or atomic of a batch has a place of its own
WAIT_SECONDS = 60.0  # of an operation: the rig's own bound is 30 s, and the machine may be busy

Arrivals = list[tuple[int, int]]


class Target(Protocol):
    """The side whose memory is operated on; it begins with zeros."""

    remote: verbs.RemoteMemory

    def holds(self, model: bytes | bytearray) -> bool:
        """Whether the memory is what the model says."""

    def arrivals(self, count: int) -> Arrivals:
        """The next WRITE_WITH_IMM: (number, bytes written) of each; no more than these came.

        Their receives are posted again.
        """


class Near:
    """A target in this process."""

    def __init__(self, end: End) -> None:
        self.end = end
        self.memory = end.memory(TARGET_BYTES)
        self.remote = verbs.RemoteMemory.from_bytes(self.memory.remote.to_bytes())

    def holds(self, model: bytes | bytearray) -> bool:
        """Compares them byte for byte."""
        return bool(self.memory.buffer == model)

    def arrivals(self, count: int) -> Arrivals:
        """Waits for each of them."""
        pair, found = self.end.pair, []
        for _ in range(count):
            came = pair.receive(timeout=WAIT_SECONDS)
            assert came is not None
            found.append((came.imm, came.length))
        assert pair.receive(timeout=0) is None
        assert not count or pair.post_receives(count) == count
        return found

    async def arrivals_async(self, count: int) -> Arrivals:
        """The same in an event loop."""
        pair, found = self.end.pair, []
        for _ in range(count):
            came = await pair.receive_async()
            found.append((came.imm, came.length))
        assert not count or pair.post_receives(count) == count
        return found


def log_uniform(dice: random.Random, most: int) -> int:
    """1 to `most`, each octave as likely as any other."""
    return min(most, int(2 ** dice.uniform(0, most.bit_length())))


@dataclass
class Walk:
    """One walk over a connected pair; `left` operates on the memory of `target`.

    Attributes:
        counts: operations done, by kind.
        is_on_a_bad_wire: leaves out what rxe (6.12) does wrong there (docs/rig.md): it stands still
            at fenced requests, and gives stale bytes as the old value of an atomic.
    """

    left: End
    target: Target
    seed: int
    is_on_a_bad_wire: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Register our memory and fill it."""
        self.dice = random.Random(self.seed)
        self.source = self.left.memory(SOURCE_BYTES)
        self.landing = self.left.memory(LANDING_BYTES)
        self.source.buffer[:] = self.dice.randbytes(SOURCE_BYTES)
        self.model = bytearray(TARGET_BYTES)
        self.expected = bytearray(LANDING_BYTES)
        self.sent: Arrivals = []
        self.old_values: list[int] = []  # where those of this batch's atomics land
        self.landed_bytes = 0
        self.must_fence = False

    def fill(self, batch: verbs.Batch) -> int:
        """Add some random operations to a batch, and do them to the model; returns how many."""
        self.landed_bytes = 0
        self.old_values = []
        self.must_fence = False
        count = self.dice.randint(1, BATCH_MAX)
        kinds: tuple[str, ...] = ("write", "imm", "read", "add", "swap")
        if self.is_on_a_bad_wire:
            kinds = ("read",) if self.dice.random() < 0.2 else ("write", "imm", "add", "swap")
        for _ in range(count):
            kind = self.dice.choice(kinds)
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind in ("write", "imm"):
                self._add_write(batch, with_imm=kind == "imm")
            elif kind == "read":
                self._add_read(batch)
            else:
                self._add_atomic(batch, kind)
        return count

    def _add_write(self, batch: verbs.Batch, *, with_imm: bool) -> None:
        size = log_uniform(self.dice, 64 * KIB)
        here = self.dice.randrange(SOURCE_BYTES - size + 1)
        there = self.dice.randrange(TARGET_BYTES - size + 1)
        local = self.source[here : here + size]
        remote = self.target.remote[there : there + size]
        # A READ of the same batch may be answered again after a loss: it must not see this.
        fence, self.must_fence = self.must_fence, False
        if with_imm:
            imm = self.dice.getrandbits(32)
            batch.write_with_imm(local, remote, imm, fence=fence)
            self.sent.append((imm, size))
        else:
            batch.write(local, remote, fence=fence)
        self.model[there : there + size] = self.source.buffer[here : here + size]

    def _landing(self, size: int) -> int:
        at = -(-self.landed_bytes // 8) * 8
        self.landed_bytes = at + size
        return at

    def _add_read(self, batch: verbs.Batch) -> None:
        size = log_uniform(self.dice, 64 * KIB)
        there = self.dice.randrange(TARGET_BYTES - size + 1)
        at = self._landing(size)
        batch.read(self.landing[at : at + size], self.target.remote[there : there + size])
        self.expected[at : at + size] = self.model[there : there + size]
        self.must_fence = True

    def _add_atomic(self, batch: verbs.Batch, kind: str) -> None:
        there = self.dice.randrange(TARGET_BYTES // 8) * 8
        at = self._landing(8)
        old = int.from_bytes(self.model[there : there + 8], "little")
        local, remote = self.landing[at : at + 8], self.target.remote[there : there + 8]
        if kind == "add":
            add = self.dice.getrandbits(64)
            batch.fetch_add(local, remote, add, fence=self.must_fence)
            new = (old + add) & MASK
        else:
            compare = old if self.dice.random() < 0.5 else old ^ 1
            new = self.dice.getrandbits(64)
            fence = self.must_fence
            batch.compare_swap(local, remote, compare, new, fence=fence)
            new = new if compare == old else old
        self.expected[at : at + 8] = old.to_bytes(8, "little")
        self.model[there : there + 8] = new.to_bytes(8, "little")
        self.must_fence = not self.is_on_a_bad_wire
        self.old_values.append(at)

    def check(self) -> None:
        """Both memories are what the model says."""
        used = slice(0, self.landed_bytes)
        if self.is_on_a_bad_wire:
            for at in self.old_values:
                self.expected[at : at + 8] = self.landing.buffer[at : at + 8]
        with memoryview(self.landing.buffer) as landed, memoryview(self.expected) as expected:
            assert landed[used] == expected[used]
        assert self.target.holds(self.model)

    def _check_arrivals(self, came: Arrivals) -> None:
        assert came == self.sent
        if came:
            self.left.pair.grant(len(came))
        self.sent = []

    def run(self, operation_count: int) -> None:
        """Walk until so many operations were done and found right."""
        done = 0
        while done < operation_count:
            batch = self.left.pair.batch()
            done += self.fill(batch)
            batch.post().wait(WAIT_SECONDS)
            self.check()
            self._check_arrivals(self.target.arrivals(len(self.sent)))

    async def run_async(self, operation_count: int) -> None:
        """The same in an event loop, towards a near target."""
        assert isinstance(self.target, Near)
        done = 0
        while done < operation_count:
            batch = self.left.pair.batch()
            done += self.fill(batch)
            await batch.post()
            self.check()
            self._check_arrivals(await self.target.arrivals_async(len(self.sent)))


def move_large(left: End, right: End, sizes: list[int], seed: int) -> None:
    """WRITE and READ back long pieces, each compared byte for byte."""
    dice = random.Random(seed)
    most = max(sizes)
    source, landing = left.memory(most), left.memory(most)
    target = right.memory(most)
    source.buffer[:] = dice.randbytes(most)
    for size in sizes:
        shift = dice.randrange(most - size + 1)
        left.pair.write(source[shift : shift + size], target.remote[:size]).wait(WAIT_SECONDS)
        assert target.buffer[:size] == source.buffer[shift : shift + size]
        left.pair.read(landing[:size], target.remote[:size]).wait(WAIT_SECONDS)
        assert landing.buffer[:size] == source.buffer[shift : shift + size]
    for memory in (source, landing, target):
        memory.close()
