"""Operations of a pair over a NIC of the tests' own, in one thread."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rdmaq._fast import Poster, ffi
from rdmaq.errors import ClosedError, OperationFailed, OperationPending, PairError
from rdmaq.verbs.operation import Receive
from rdmaq.verbs.requests import PACKED, REQUEST
from tests.verbs.nic import FLUSHED, RECEIVES, REMOTE_ACCESS, SENDS, End, Place, connect

LOCAL = Place(0x10000, 1 << 20)
REMOTE = Place(0x20000, 1 << 20)
WORD = Place(0x10000, 8)


@pytest.fixture
def end() -> Iterator[End]:
    with End() as made:
        yield made


def crossings(call: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The result of `call`, and the names of rdmaq's C functions and methods that it called."""
    names: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        name = getattr(argument, "__name__", "")
        if event == "c_call" and (name.startswith("rq_") or name in vars(Poster)):
            names.append(name)

    sys.setprofile(note)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return result, names


def test_request_is_laid_out_as_c_has_it() -> None:
    """The dtype and the packing against the header's struct, member by member."""
    fields = ffi.typeof("struct rq_op").fields
    assert ffi.sizeof("struct rq_op") == REQUEST.itemsize == PACKED.size
    assert {name: field.offset for name, field in fields} == {
        name: REQUEST.fields[name][1] for name in REQUEST.names or () if REQUEST.fields
    }
    packed = PACKED.pack(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    assert list(np.frombuffer(packed, REQUEST)[0].tolist()[:11]) == list(range(1, 12))


def test_one_write_is_one_crossing_to_post_and_one_to_wait(end: End) -> None:
    operation, names = crossings(lambda: end.pair.write(LOCAL[0:8], REMOTE))
    assert names == ["_accept"]
    assert not operation.is_done
    assert end.run() == 1
    _, names = crossings(operation.wait)
    assert names == ["look"]
    assert operation.is_done


def test_batch_of_all_five_is_one_crossing_and_one_doorbell(end: End) -> None:
    batch = end.pair.batch()
    end.pair.grant(1)
    batch.write(LOCAL[0:100], REMOTE).read(LOCAL[0:100], REMOTE)
    batch.write_with_imm(LOCAL[0:100], REMOTE, 5)
    batch.fetch_add(WORD, REMOTE, 1).compare_swap(WORD, REMOTE, 1, 2)
    before = end.doorbells
    with End() as other:
        other.pair.post_receives(1)
        connect(end, other)
        operation, names = crossings(batch.post)
        assert names == ["_accept"]
        assert (end.doorbells - before, end.posted) == (1, 5)
        end.run()
        _, names = crossings(operation.wait)
        assert names == ["look"]
        assert other.pair.receive(0) == Receive(imm=5, length=100)


def test_array_is_posted_again_without_a_crossing_more(end: End) -> None:
    requests = end.pair.requests(8, keep=LOCAL)
    requests.array["opcode"] = requests.WRITE
    requests.array["length_bytes"] = 8
    for _ in range(3):
        operation, names = crossings(lambda: end.pair.post(requests))
        assert names == ["_accept"]
        end.run()
        _, names = crossings(operation.wait)
        assert names == ["look"]
    assert (end.doorbells, end.posted) == (3, 24)


def test_run_is_one_doorbell_and_one_call_when_all_goes_well() -> None:
    """The NIC carries requests out as they are posted."""
    with End() as end:
        end.be_quick()
        requests = end.pair.requests(3)
        requests.array["opcode"] = requests.WRITE
        for _ in range(2 * SENDS):
            _, names = crossings(lambda: end.pair.run(requests))
            assert names == ["run"]
        assert end.doorbells == 2 * SENDS
        assert (end.pair.outstanding, end.pair.reported) == (0, 6 * SENDS)
        end.pair.write(LOCAL[0:8], REMOTE).wait(5)


def test_run_that_takes_long_goes_on_as_an_operation(end: End) -> None:
    requests = end.pair.requests(2 * SENDS)  # more than the queue holds
    requests.array["opcode"] = requests.WRITE
    with pytest.raises(OperationPending):
        end.pair.run(requests, 0)
    assert end.pair.outstanding == 2 * SENDS
    while end.run():
        end.pair.look(0)
    assert end.pair.outstanding == 0


def test_run_behind_others_waits_for_them_too(end: End) -> None:
    first = end.pair.write(LOCAL[0:8], REMOTE)
    requests = end.pair.requests(1)
    requests.array["opcode"] = requests.WRITE
    end.be_quick()
    end.pair.run(requests, 5)
    assert first.is_done


def test_run_of_fewer_than_there_are_takes_the_first(end: End) -> None:
    requests = end.pair.requests(5)
    requests.array["opcode"] = requests.WRITE
    end.be_quick()
    requests.count = 2
    end.pair.run(requests, 5)
    assert end.posted == 2


def test_settle_waits_for_all_and_leaves_errors_to_their_operations(end: End) -> None:
    operations = [end.pair.write(LOCAL[0:8], REMOTE) for _ in range(SENDS - 1)]
    with pytest.raises(OperationPending):
        end.pair.settle(0)
    end.run(1, REMOTE_ACCESS)
    end.run()
    end.pair.settle(5)
    assert end.pair.outstanding == 0
    with pytest.raises(OperationFailed):
        operations[0].wait(0)
    end.pair.settle(0)


def test_run_raises_what_the_device_said(end: End) -> None:
    requests = end.pair.requests(2)
    requests.array["opcode"] = requests.READ
    requests.array["token"] = [8, 9]
    end.be_quick(REMOTE_ACCESS)
    with pytest.raises(OperationFailed) as failure:
        end.pair.run(requests, 5)
    assert (failure.value.token, failure.value.status) == (8, REMOTE_ACCESS)
    assert end.pair.outstanding == 0
    end.refuse(0, errno.EIO)
    with pytest.raises(PairError, match="EIO"):
        end.pair.run(requests, 5)


def test_what_finds_no_room_waits_in_order_and_goes_as_room_comes(end: End) -> None:
    operations = [end.pair.write(LOCAL[0:8], REMOTE) for _ in range(3 * SENDS)]
    assert end.posted == SENDS - 1  # one is kept
    assert end.pair.outstanding == 3 * SENDS
    while end.run():
        operations[0].wait(5)
        assert end.pair.look(0) >= 0
    for operation in operations:
        operation.wait(5)
    assert (end.posted, end.pair.outstanding) == (3 * SENDS, 0)


def test_longer_than_a_request_goes_as_several_and_tells_the_peer_once() -> None:
    with End(request_bytes_max=1000) as end, End() as other:
        connect(end, other)
        other.pair.post_receives(2)
        end.pair.grant(2)
        operation = end.pair.write_with_imm(LOCAL[0:2500], REMOTE, 9)
        assert end.posted == 3
        assert end.run() == 3
        operation.wait(5)
        assert other.pair.receive(0) == Receive(imm=9, length=500)
        assert other.pair.receive(0) is None


def test_write_with_imm_waits_for_the_peers_receive(end: End) -> None:
    with End() as other:
        connect(end, other)
        operation = end.pair.write_with_imm(LOCAL[0:8], REMOTE, 1)
        later = end.pair.write(LOCAL[0:8], REMOTE)
        assert end.posted == 0
        with pytest.raises(OperationPending, match=r"in flight"):
            operation.wait(0)
        assert other.pair.post_receives(2 * RECEIVES) == RECEIVES
        end.pair.grant(RECEIVES)
        assert end.posted == 2
        end.run()
        later.wait(5)
        assert operation.is_done


def test_failure_is_told_to_its_own_operation_and_the_flush_to_the_others(end: End) -> None:
    good, bad, flushed = (end.pair.write(LOCAL[0:8], REMOTE) for _ in range(3))
    end.run(2, REMOTE_ACCESS)
    end.run()
    good.wait(5)
    with pytest.raises(OperationFailed, match="WRITE failed with 10") as failure:
        bad.wait(5)
    assert (failure.value.status, failure.value.vendor_error) == (REMOTE_ACCESS, 0x8A)
    for _ in range(2):  # the same answer again
        with pytest.raises(OperationFailed) as failure:
            flushed.wait(5)
        assert failure.value.status == FLUSHED


def test_batch_tells_its_first_failure(end: End) -> None:
    requests = end.pair.requests(4)
    requests.array["opcode"] = requests.READ
    requests.array["token"] = [40, 41, 42, 43]
    operation = end.pair.post(requests)
    end.run(3, REMOTE_ACCESS)
    end.run()
    with pytest.raises(OperationFailed) as failure:
        operation.wait(5)
    assert (failure.value.token, failure.value.opcode) == (42, "READ")


def test_torn_batch_is_finished_by_its_rest(end: End) -> None:
    """The provider takes three of six; the others follow as soon as somebody looks."""
    requests = end.pair.requests(6)
    requests.array["opcode"] = requests.WRITE
    end.refuse(3, errno.ENOMEM)
    operation = end.pair.post(requests)
    assert end.posted == 3 + 1  # and a cover for the last of them
    end.run()
    assert not operation.is_done
    end.run()
    operation.wait(5)
    assert end.posted == 3 + 1 + 3


def test_refused_backlog_ends_in_the_providers_words(end: End) -> None:
    waiting = [end.pair.write(LOCAL[0:8], REMOTE) for _ in range(SENDS + 3)]
    end.run()
    end.refuse(0, errno.EIO)
    waiting[0].wait(5)
    waiting[SENDS - 2].wait(5)
    for operation in waiting[SENDS - 1 :]:
        with pytest.raises(PairError, match="EIO"):
            operation.wait(5)
    assert end.pair.outstanding == 0


def test_memory_is_in_use_until_its_operation_is_done(end: End) -> None:
    operation = end.pair.write(LOCAL[64:128], REMOTE)
    batch = end.pair.batch().write(LOCAL[256:264], REMOTE).post()
    assert end.pair.uses(LOCAL.address + 127, 1)
    assert end.pair.uses(LOCAL.address + 256, 8)
    assert not end.pair.uses(LOCAL.address + 128, 128)
    end.run()
    batch.wait(5)
    assert operation.is_done
    assert not end.pair.uses(LOCAL.address, LOCAL.length)


@pytest.mark.parametrize(
    ("post", "says"),
    [
        (lambda pair: pair.write(LOCAL, REMOTE[0:8]), "reaches beyond"),
        (lambda pair: pair.read(LOCAL[0:9], REMOTE[0:8]), "reaches beyond"),
        (lambda pair: pair.fetch_add(LOCAL[0:4], REMOTE, 1), "8 bytes"),
        (lambda pair: pair.compare_swap(WORD, REMOTE[4:12], 1, 1), "8 bytes"),
        (lambda pair: pair.fetch_add(WORD, REMOTE, -1), "does not fit"),
        (lambda pair: pair.fetch_add(WORD, REMOTE, "1"), "does not fit"),
        (lambda pair: pair.write_with_imm(WORD, REMOTE, 1 << 32), "does not fit"),
        (lambda pair: pair.batch().post(), "empty"),
        (lambda pair: pair.post(pair.requests(2), 3), "cannot be posted"),
        (lambda pair: pair.post(pair.requests(2)), "malformed"),
        (lambda pair: pair.grant(-1), "cannot be granted"),
    ],
)
def test_wrong_call_is_refused_and_posts_nothing(
    end: End, post: Callable[[Any], Any], says: str
) -> None:
    with pytest.raises(PairError, match=says):
        post(end.pair)
    assert (end.posted, end.pair.outstanding) == (0, 0)
    operation = end.pair.write(LOCAL[0:8], REMOTE)
    end.run()
    operation.wait(5)


def test_unchecked_operation_goes_to_the_device(end: End) -> None:
    operation = end.pair.write(LOCAL, REMOTE[0:8], check=False)
    end.run(1, REMOTE_ACCESS)
    with pytest.raises(OperationFailed):
        operation.wait(5)


def test_close_ends_everything_and_refuses_what_follows(end: End) -> None:
    posted = [end.pair.write(LOCAL[0:8], REMOTE) for _ in range(SENDS + 5)]
    end.close()
    for operation in posted[: SENDS - 1]:
        with pytest.raises(OperationFailed):
            operation.wait(5)
    for operation in posted[SENDS - 1 :]:
        with pytest.raises(ClosedError):
            operation.wait(5)
