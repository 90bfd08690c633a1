"""Who may do what with a region, and for how long: access, revocation, death, threads, forks."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rdmaq
from tests.conformance.child import Child
from tests.conformance.rig import Link, Transport, eventually
from tests.conformance.test_fork_and_pickle import in_forked_child


def operations(region: rdmaq.Region) -> dict[str, Callable[[], object]]:
    return {
        "read": lambda: region.read(0),
        "write": lambda: region.write(0, 1),
        "fetch_add": lambda: region.fetch_add(0, 1),
        "compare_swap": lambda: region.compare_swap(0, 0, 1),
    }


@pytest.mark.parametrize(
    ("access", "allowed"),
    [("read", "read"), ("write", "read write"), ("atomic", "read write fetch_add compare_swap")],
)
def test_region_allows_what_it_was_exported_for_and_no_more(
    link: Link, access: str, allowed: str
) -> None:
    """Each operation under each access; what is refused changes nothing."""
    export = link.node.export("n", np.zeros(4, "<u8"), access=access)
    with link.peer.region("n") as region:
        assert region.access == access
        for name, operation in operations(region).items():
            export.array[:] = 0
            if name in allowed.split():
                operation()
                continue
            with pytest.raises(rdmaq.RegionAccessError, match="its owner must export it so"):
                operation()
            assert not export.array.any()


def test_revoked_region_refuses_every_operation_and_can_be_exported_again(link: Link) -> None:
    """The holder is told, a new asker finds none; the owner's array stays; the name is free."""
    export = link.node.export("n", np.arange(4, dtype="<u8"), access="atomic")
    region = link.peer.region("n")
    prepared = region.batch().read(0)
    assert prepared.run()[0] == 0
    export.revoke()
    export.revoke()
    assert export.closed
    for operation in (*operations(region).values(), prepared.run):
        with pytest.raises(rdmaq.RegionRevoked, match="was revoked"):
            operation()
    with pytest.raises(rdmaq.RegionNotFound, match="it offers none"):
        link.peer.region("n")
    export.array[0] = 7
    assert export.array.tolist() == [7, 1, 2, 3]
    with pytest.raises(rdmaq.ClosedError):
        export.fetch_add(0, 1)
    link.node.export("n", np.zeros(2, "<u4"))
    assert link.peer.region("n").shape == (2,)
    region.close()


def test_closing_the_node_revokes_what_it_exported(link: Link) -> None:
    """Regions and tables alike."""
    link.node.export("n", np.zeros(4, "<u8"))
    link.node.table("t", "<u8", rows=3)
    region, table = link.peer.region("n"), link.peer.table("t")
    link.node.close()
    with pytest.raises(rdmaq.RegionRevoked):
        region.read()
    with pytest.raises(rdmaq.RegionRevoked):
        table.read()
    with pytest.raises(rdmaq.ClosedError):
        link.node.export("m", np.zeros(4))
    with pytest.raises(rdmaq.ClosedError):
        link.node.table("u", "<u8", rows=3)


def test_death_of_the_owner_is_told(child: Child, transport: Transport) -> None:
    """SIGKILL: soon every operation says that the owner is gone."""
    address = child.offer(transport)
    child.run("export = node.export('n', __import__('numpy').arange(4), access='write')")
    with transport.connect(address) as peer, peer.region("n") as region:
        assert region.read().tolist() == [0, 1, 2, 3]
        child.kill()
        told: list[str] = []

        def is_told() -> bool:
            try:
                region.read()
            except rdmaq.PeerGone as error:
                told.append(str(error))
            return bool(told)

        eventually(is_told, "the death to be noticed")
        assert "lost its owner" in told[0]
        with pytest.raises(rdmaq.PeerGone):
            region.write(0, 1)


def test_reads_and_writes_go_on_while_the_owner_is_stopped(
    child: Child, transport: Transport
) -> None:
    """SIGSTOP: no instruction of the owner's runs, and every operation works."""
    address = child.offer(transport)
    child.run("export = node.export('n', __import__('numpy').zeros(64, '<u8'), access='atomic')")
    with transport.connect(address) as peer, peer.region("n") as region:
        child.stop()
        for i in range(64):
            region.write(i, i)
            assert region.fetch_add(8 * i, 1) == i
        assert region.read().tolist() == list(range(1, 65))
        child.resume()
    assert child.run("export.array.tolist()") == list(range(1, 65))


def test_region_waits_to_be_exported_and_lists_what_is(link: Link) -> None:
    """A name that comes later, one that never comes, and one of the other kind."""
    timer = threading.Timer(0.05, lambda: link.node.export("late", np.zeros((2, 3), ">f4")))
    timer.start()
    with link.peer.region("late", timeout=30) as region:
        assert (region.shape, region.dtype, region.access) == ((2, 3), np.dtype(">f4"), "read")
    link.node.table("rows", "<u8", rows=3)
    with pytest.raises(rdmaq.RegionNotFound, match="'late'") as caught:
        link.peer.region("never")
    assert caught.value.available == ("late",)
    with pytest.raises(rdmaq.RegionNotFound, match=r"is a table, no region: ask for it by table"):
        link.peer.region("rows")
    with pytest.raises(rdmaq.RegionNotFound, match=r"is an array, no table: ask for it by region"):
        link.peer.table("late")
    infos = {info.name: info for info in link.peer.regions()}
    assert {name: info.kind for name, info in infos.items()} == {"late": "array", "rows": "table"}
    assert pickle.loads(pickle.dumps(infos)) == infos


def test_list_of_many_regions_comes_whole(link: Link) -> None:
    """More than one packet holds: every name once, in order."""
    wide = np.dtype([(f"field{i:04d}", "<u4") for i in range(300)])
    names = [f"r{i:03d}" for i in range(40)]
    for name in names:
        link.node.export(name, np.zeros(1, wide))
    assert [info.name for info in link.peer.regions()] == names


BAD_EXPORTS: dict[str, tuple[type[Exception], Callable[[rdmaq.Node], Any]]] = {
    "objects": (rdmaq.SchemaError, lambda node: node.export("x", np.array([object()]))),
    "empty": (rdmaq.RegionError, lambda node: node.export("x", np.zeros(0))),
    "ragged": (rdmaq.RegionError, lambda node: node.export("x", [[1], [1, 2]])),
    "access": (rdmaq.RegionError, lambda node: node.export("x", np.zeros(1), access="all")),
    "name": (rdmaq.AddressError, lambda node: node.export("", np.zeros(1))),
    "no rows": (rdmaq.RegionError, lambda node: node.table("x", "<u8", rows=0)),
    "endless rows": (rdmaq.RegionError, lambda node: node.table("x", "<u8", rows=1 << 60)),
    "huge": (rdmaq.CapacityError, lambda node: node.table("x", "<u8", rows=1 << 33)),
    "wide rows": (rdmaq.RegionError, lambda node: node.table("x", "V1048577", rows=1)),
    "no dtype": (rdmaq.SchemaError, lambda node: node.table("x", "nothing", rows=1)),
    "twice": (rdmaq.RegionExists, lambda node: node.export("taken", np.zeros(1))),
}


@pytest.mark.parametrize("what", BAD_EXPORTS)
def test_what_cannot_be_exported_is_refused_in_words(link: Link, what: str) -> None:
    """An error of ours with cause and cure, and nothing on offer afterwards."""
    link.node.export("taken", np.zeros(1))
    error, attempt = BAD_EXPORTS[what]
    with pytest.raises(error, match=r".+: .+"):
        attempt(link.node)
    assert [info.name for info in link.peer.regions()] == ["taken"]


def test_second_thread_in_a_region_is_refused_or_waits_its_turn_outside(link: Link) -> None:
    """Two threads read through one handle: each read is whole or ConcurrentUse, nothing else."""
    values = np.arange(1 << 16, dtype="<u8")
    link.node.export("n", values)
    refused = 0
    with link.peer.region("n") as region:
        stop = threading.Event()
        wrong: list[object] = []

        def read() -> None:
            nonlocal refused
            while not stop.is_set():
                try:
                    if not np.array_equal(region.read(), values):
                        wrong.append("torn")
                except rdmaq.ConcurrentUse:
                    refused += 1
                except Exception as error:
                    wrong.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda: refused > 0, "the threads to meet")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert wrong == []


def test_close_from_another_thread_ends_reading_in_words(link: Link) -> None:
    """The reader gets ClosedError; a second close does nothing."""
    link.node.export("n", np.zeros(1 << 16, "<u8"))
    region = link.peer.region("n")
    started, ended = threading.Event(), []

    def read() -> None:
        try:
            while True:
                region.read()
                started.set()
        except rdmaq.ClosedError as error:
            ended.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    started.wait()
    region.close()
    region.close()
    thread.join()
    assert "this region is closed" in ended[0]
    assert region.closed


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_cannot_use_regions_and_the_parent_does_not_notice(link: Link) -> None:
    """Every call of the child raises; closing there does nothing here."""
    export = link.node.export("n", np.zeros(4, "<u8"), access="atomic")
    table = link.node.table("t", "<u8", rows=2)
    region, reader = link.peer.region("n"), link.peer.table("t")

    def check() -> None:
        calls: list[Callable[[], object]] = [
            region.read,
            lambda: region.write(0, 1),
            lambda: export.fetch_add(0, 1),
            lambda: table.update(0, 1),
            reader.read,
            lambda: link.node.export("child", np.zeros(1)),
        ]
        for call in calls:
            with pytest.raises(rdmaq.ClosedError, match="fork"):
                call()
        for handle in (region, reader, export, table):
            handle.close()

    in_forked_child(check)
    region.write(0, 5)
    table.update(0, 6)
    assert int(export.array[0]) == 5
    assert int(reader.read(0)) == 6
    for handle in (region, reader, export, table):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(handle)
