"""Settings of a queue pair: bounds, and the bound that they put on failing."""

from __future__ import annotations

import pytest

from rdmaq.errors import PairError
from rdmaq.verbs import PairSettings


def test_defaults_are_finite_and_as_documented() -> None:
    settings = PairSettings()
    assert (settings.timeout, settings.retry_count, settings.rnr_retry) == (16, 6, 6)
    assert settings.min_rnr_timer == 12
    # 7 tries of 0.268 s, four times as long as set; and 7 waits of 0.64 ms.
    assert settings.failure_seconds_max == pytest.approx(7 * 4 * 0.268435 + 7 * 0.00064, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_count", 7),
        ("rnr_retry", 7),
        ("timeout", 0),
        ("timeout", 32),
        ("min_rnr_timer", 32),
        ("send_depth", 0),
        ("receive_depth", -1),
        ("max_rd_atomic", 256),
        ("mtu_bytes", 1500),
        ("hop_limit", 0),
        ("send_depth", 1.5),
        ("timeout", True),
        ("inline_bytes", "64"),
        ("wait", "forever"),
        ("stall_seconds", 0),
        ("stall_seconds", float("nan")),
    ],
)
def test_endless_and_impossible_settings_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(PairError, match=rf"{name}={value!r} is .*; "):
        PairSettings(**{name: value})  # type: ignore[arg-type]
