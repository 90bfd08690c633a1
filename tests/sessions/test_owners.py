"""When an owner's atomics begin to go by the NIC, over a device of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq import errors
from rdmaq.region.exported import Export
from rdmaq.region.exports import Exports
from rdmaq.sessions.trust import Owners, remote_access
from rdmaq.verbs import Access


class Device:
    """Counts what is registered and not closed."""

    def __init__(self, *, are_global: bool = False) -> None:
        self.limits = SimpleNamespace(atomics_are_global=are_global)
        self.domains = 0
        self.registered: list[Access] = []
        self.open = 0

    def domain(self) -> Any:
        self.domains += 1
        return SimpleNamespace(register=self._register)

    def _register(self, _buffer: object, access: Access) -> Any:
        self.registered.append(access)
        self.open += 1
        return SimpleNamespace(remote="memory", close=self._close)

    def _close(self) -> None:
        self.open -= 1


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(Export, "count_by_nic", lambda self, *_: calls.append(self.name))
    return calls


def test_owner_counts_by_the_nic_once_an_atomic_key_is_given(counted: list[str]) -> None:
    """Once each, in one domain for all of them, and until it is revoked."""
    device: Any = Device()
    owners, exports = Owners(device), Exports("here")
    one, two = (exports.export(name, [0, 0], "atomic") for name in ("one", "two"))
    for exported in (one, two, one):
        owners.let_nic_count(exported)
    assert counted == ["one", "two"]
    assert device.domains == 1
    everything = Access.REMOTE_READ | Access.REMOTE_WRITE | Access.REMOTE_ATOMIC
    assert device.registered == [everything, everything]
    owners.revoke(one)
    owners.revoke(one)
    assert device.open == 1
    exports.close()


def test_owners_count_without_a_device_that_is_gone(
    counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them, once; the next device begins anew."""
    undone: list[str] = []
    monkeypatch.setattr(Export, "count_by_cpu", lambda self: undone.append(self.name))
    device: Any = Device()
    owners, exports = Owners(device), Exports("here")
    for name in ("one", "two"):
        owners.let_nic_count(exports.export(name, [0], "atomic"))
    owners.retire()
    owners.retire()
    assert undone == counted == ["one", "two"]
    exports.close()


def test_nothing_is_done_where_atomics_are_one_step_to_cpus_too(counted: list[str]) -> None:
    device: Any = Device(are_global=True)
    exports = Exports("here")
    Owners(device).let_nic_count(exports.export("n", [0], "atomic"))
    assert counted == []
    assert device.domains == 0
    exports.close()


def test_owner_who_may_not_change_leaves_nothing_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Peers of its own host count by their CPUs: refused, and asked again the next time."""
    device: Any = Device()
    owners, exports = Owners(device), Exports("here")
    export = exports.export("n", [0], "atomic")

    def refuse(*_: object) -> None:
        raise errors.RegionAccessError("'n' is counted in by CPUs: so; do not")

    monkeypatch.setattr(Export, "count_by_nic", refuse)
    for _ in range(2):
        with pytest.raises(errors.RegionAccessError):
            owners.let_nic_count(export)
    assert device.open == 0
    exports.close()


def test_key_never_grants_more_than_the_export() -> None:
    exports = Exports("here")
    read, write, atomic = Access.REMOTE_READ, Access.REMOTE_WRITE, Access.REMOTE_ATOMIC
    for access, granted in (
        ("read", read),
        ("write", read | write),
        ("atomic", read | write | atomic),
    ):
        exported = exports.export(access, [0], access)
        assert remote_access(exported, has_atomics=True) == granted
        assert remote_access(exported, has_atomics=False) == granted & ~atomic
    table = exports.table("t", "<u8", 1)
    assert remote_access(table, has_atomics=True) == read
    exports.close()
