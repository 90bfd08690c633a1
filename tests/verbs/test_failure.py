"""The text of an error completion says what a person needs."""

from __future__ import annotations

import pytest

from rdmaq.verbs import Status
from rdmaq.verbs.failure import PairFacts, explain

FACTS = PairFacts(
    qp_num=17,
    remote_qp_num=18,
    device="rxe0 port 1",
    local="10.77.0.1 (RoCE v2, index 1)",
    remote="10.77.0.2",
    mtu_bytes=1024,
    timers="timeout 16 (0.27 s), retries 6, rnr retries 6, rnr timer 12",
    seconds_max=7.52,
)


@pytest.mark.parametrize("status", [*(s for s in Status if s), 99])
def test_every_status_has_facts_cause_and_cure(status: int) -> None:
    text = explain(FACTS, opcode="WRITE", length_bytes=4096, status=status, vendor_error=0x68)
    what, cause, cure = text.split(": ", 1)[0], *text.split(": ", 1)[1].split("; ", 1)
    assert what.startswith("WRITE of 4,096 bytes failed with ")
    assert "vendor error 0x68" in what
    for fact in ("pair 17", "to 18", "10.77.0.1", "10.77.0.2", "MTU 1024", "timeout 16", "7.5 s"):
        assert fact in what
    assert len(cause) > 10
    assert len(cure) > 10


def test_lost_completion_is_told_as_unknown_not_as_failed() -> None:
    text = explain(FACTS, opcode="READ", length_bytes=8, status=0, vendor_error=0, is_unknown=True)
    assert "no completion" in text
    assert "may or may not have happened" in text
    assert "SUCCESS" not in text


def test_what_the_device_told_stands_beside_the_cause() -> None:
    text = explain(
        FACTS,
        opcode="READ",
        length_bytes=8,
        status=Status.WR_FLUSH_ERR,
        vendor_error=0,
        seen="PORT_ERR (port 1): the port lost its link 0.2 s before",
    )
    assert "; seen: PORT_ERR (port 1)" in text
