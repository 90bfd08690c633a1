"""What raises each class that verbs have of their own: without a device, over a fake NIC."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rdmaq import errors
from rdmaq.verbs import Access, PairSettings, Status, library
from rdmaq.verbs.choice import choose
from rdmaq.verbs.failure import explain
from rdmaq.verbs.memory import Memory
from tests.conformance.rig import Link
from tests.verbs import nic
from tests.verbs.test_failure import FACTS

_LOCAL, _REMOTE = nic.Place(0x1000, 64), nic.Place(0x2000, 64)


def _not_built(_: Link) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "lib", SimpleNamespace(rq_verbs_built=lambda: 0))
        library.check_built()


def _failed(_: Link) -> None:
    """The NIC reports an access error; the words are those that a connected pair finds."""

    def in_words(**facts: Any) -> errors.OperationFailed:
        text = explain(
            FACTS, opcode="READ", length_bytes=64, status=facts["status"], vendor_error=0
        )
        return errors.OperationFailed(text, status=facts["status"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nic, "explain", in_words)
        with nic.End() as end:
            operation = end.pair.read(_LOCAL, _REMOTE)
            end.run(1, Status.REM_ACCESS_ERR)
            operation.wait(5)


def _pending(_: Link) -> None:
    with nic.End() as end:
        end.pair.write(_LOCAL, _REMOTE).wait(0)


def _text_as_memory(_: Link) -> None:
    domain: Any = None  # it is not asked
    Memory(domain, "text", Access.NONE)


VERBS_RAISERS: dict[type[Exception], Callable[[Link], object]] = {
    errors.DeviceNotFound: lambda _: choose([]),
    errors.OperationFailed: _failed,
    errors.OperationPending: _pending,
    errors.PairError: lambda _: PairSettings(retry_count=7),
    errors.RegistrationError: _text_as_memory,
    errors.VerbsUnavailable: _not_built,
}
