"""All five operations over the wire, byte for byte against a model of both memories."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

from rdmaq import verbs
from rdmaq.rig.fixtures import RdmaWire
from tests.rdma.ends import ALL, PATIENT, connected
from tests.rdma.walk import MIB, WAIT_SECONDS, Near, Walk, move_large

pytestmark = [pytest.mark.rdma, pytest.mark.slow, pytest.mark.timeout(600)]

OPERATIONS = 10_000
OPERATIONS_ASYNC = 1_000


def test_ten_thousand_operations_of_all_kinds_and_sizes_do_what_the_model_says(
    rdma_wire: RdmaWire,
) -> None:
    """Over the wire, not around it: both devices' counters tell that packets were sent."""
    sent = rdma_wire.packets()
    with connected(rdma_wire) as (left, right):
        walk = Walk(left, Near(right), seed=1)
        walk.run(OPERATIONS)
        assert len(walk.counts) == 5
        assert min(walk.counts.values()) > OPERATIONS // 10
        assert left.pair.outstanding == 0
    assert rdma_wire.packets() - sent > OPERATIONS


def test_operations_that_are_awaited_do_what_the_model_says(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        asyncio.run(Walk(left, Near(right), seed=2).run_async(OPERATIONS_ASYNC))


def test_many_tasks_await_operations_of_one_pair_at_once(rdma_wire: RdmaWire) -> None:
    """Each task adds to a counter of the peer's: the sum shows that none was lost or doubled."""
    task_count, turns = 8, 20

    async def add(left: verbs.Pair, old: verbs.MemoryPart, counter: verbs.RemoteMemory) -> None:
        for _ in range(turns):
            await left.fetch_add(old, counter, 1)

    async def all_of_them() -> None:
        await asyncio.gather(
            *(
                add(left.pair, landing[8 * number : 8 * number + 8], target.remote)
                for number in range(task_count)
            )
        )

    with connected(rdma_wire) as (left, right):
        target, landing = right.memory(8), left.memory(8 * task_count)
        asyncio.run(all_of_them())
        assert int.from_bytes(target.buffer, "little") == task_count * turns


def test_pieces_of_one_and_sixteen_mebibytes_arrive_whole(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        move_large(left, right, [MIB] * 4 + [16 * MIB] * 3 + [16 * MIB - 1, MIB + 1], seed=3)


def test_array_of_requests_is_posted_as_one_chain(rdma_wire: RdmaWire) -> None:
    with connected(rdma_wire) as (left, right):
        source = left.domain.register(np.arange(64 * 8, dtype="<u8"), ALL)
        target = right.domain.register(np.zeros(64 * 8, "<u8"), ALL)
        requests = left.pair.requests(64, keep=source)
        array = requests.array
        array["opcode"] = requests.WRITE
        array["local_address"] = source.address + np.arange(64, dtype="<u8") * 64
        array["remote_address"] = target.address + np.arange(64, dtype="<u8")[::-1] * 64
        array["length_bytes"] = 64
        array["local_key"], array["remote_key"] = source.lkey, target.rkey
        for _ in range(3):
            left.pair.post(requests).wait(WAIT_SECONDS)
        written = target.buffer.reshape(64, 8)
        assert (written == source.buffer.reshape(64, 8)[::-1]).all()


_MAPPER = """
import mmap, sys
room = mmap.mmap(int(sys.argv[1]), int(sys.argv[2]))
for line in sys.stdin:
    word, at, text = line.split()
    at, data = int(at), bytes.fromhex(text)
    if word == "store":
        room[at:at + len(data)] = data
        print("stored", flush=True)
    else:
        print(room[at:at + len(data)].hex(), flush=True)
"""


def test_memory_of_a_memfd_is_shared_with_a_process_that_knows_no_rdma(
    rdma_wire: RdmaWire,
) -> None:
    """A remote WRITE shows in the other process's mapping; its stores are seen by a READ."""
    size_bytes = 1 << 16
    memfd = os.memfd_create("shared")
    os.truncate(memfd, size_bytes)
    room = mmap.mmap(memfd, size_bytes)
    mapper = subprocess.Popen(
        [sys.executable, "-S", "-c", _MAPPER, str(memfd), str(size_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[memfd],
    )

    def ask(word: str, at: int, data: bytes) -> str:
        assert mapper.stdin is not None
        assert mapper.stdout is not None
        print(word, at, data.hex(), file=mapper.stdin, flush=True)
        return mapper.stdout.readline().strip()

    with mapper, connected(rdma_wire, PATIENT) as (left, right):
        shared = right.domain.register(room, ALL)
        local = left.memory(100)
        local.buffer[:] = os.urandom(100)
        for at in (0, 4090, size_bytes - 100):
            left.pair.write(local, shared.remote[at : at + 100]).wait(WAIT_SECONDS)
            assert ask("show", at, bytes(100)) == local.buffer.hex()
            data = os.urandom(100)
            assert ask("store", at, data) == "stored"
            left.pair.read(local, shared.remote[at : at + 100]).wait(WAIT_SECONDS)
            assert local.buffer == data
        assert mapper.stdin is not None
        mapper.stdin.close()
    os.close(memfd)


def test_read_only_mapping_is_open_to_reads_and_to_nothing_else(rdma_wire: RdmaWire) -> None:
    memfd = os.memfd_create("readable")
    os.write(memfd, b"x" * 4096)
    room = mmap.mmap(memfd, 4096, prot=mmap.PROT_READ)
    with connected(rdma_wire) as (left, right):
        readable = right.domain.register(room, verbs.Access.REMOTE_READ)
        local = left.memory(4096)
        left.pair.read(local, readable.remote).wait(WAIT_SECONDS)
        assert local.buffer == b"x" * 4096
    os.close(memfd)
