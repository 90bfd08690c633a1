"""What may be tuned about links, and which devices are believed to keep the order of WRITEs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rdmaq import PairError
from rdmaq._fast import lib
from rdmaq.verbs.link_settings import LinkSettings, keeps_order
from rdmaq.verbs.settings import PairSettings


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("tail", "read", ValueError),
        ("tail", 1, ValueError),
        ("depth", 0, ValueError),
        ("depth", 65, ValueError),
        ("depth", 1.5, TypeError),
        ("credits", 0, ValueError),
        ("credits", 48, ValueError),
        ("credits", 512, ValueError),
        ("silent_seconds", 0.1, ValueError),
        ("silent_seconds", float("inf"), ValueError),
        ("timers", None, PairError),
    ],
)
def test_settings_that_no_link_can_have_are_refused(
    name: str, value: Any, error: type[Exception]
) -> None:
    wish: dict[str, Any] = {name: value}
    with pytest.raises(error, match=name):
        LinkSettings(**wish)


@pytest.mark.parametrize("depth", [1, lib.RQ_LINK_DEPTH_MAX])
def test_pairs_have_room_for_every_request_of_a_link(depth: int) -> None:
    """Three a chain in flight, a READ, a heartbeat and the origin; receives for imm alone."""
    settings = LinkSettings(depth=depth, credits=16)
    assert settings.sending().send_depth == 3 * depth + 3
    assert settings.sending().receive_depth == 0
    assert settings.receiving().receive_depth == 16


def test_way_of_a_link_is_the_one_that_the_user_says() -> None:
    """Partition and hops were left out: a link went nowhere where these are not the usual ones."""
    way: dict[str, Any] = {"timeout": 14, "mtu_bytes": 1024, "hop_limit": 3, "pkey_index": 2}
    settings = LinkSettings(timers=PairSettings(**way, max_rd_atomic=1, inline_bytes=0))
    for pair in (settings.sending(), settings.receiving()):
        assert {name: getattr(pair, name) for name in way} == way
        assert (pair.max_rd_atomic, pair.inline_bytes) == (16, 64), "a link's own"


def test_link_sends_no_larger_packets_than_the_session_that_was_told_to_make_do() -> None:
    """`connect(pair_settings=)` is the cure for a narrow path: its streams take that way, too."""
    assert LinkSettings().receiving(1024).mtu_bytes == 1024
    assert LinkSettings().receiving().mtu_bytes is None
    timers = PairSettings(mtu_bytes=2048)
    assert LinkSettings(timers=timers).receiving(1024).mtu_bytes == 2048, "who says so knows"


def test_order_is_believed_of_listed_drivers_on_listed_cpus_only(tmp_path: Path) -> None:
    """As sysfs tells: rxe has a parent interface, adapters have a driver."""
    rxe, mlx5, efa, none = (tmp_path / name for name in ("rxe0", "mlx5_0", "efa_0", "gone"))
    rxe.mkdir()
    (rxe / "parent").write_text("eth0\n")
    for folder, driver in ((mlx5, "mlx5_core"), (efa, "efa")):
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        (folder / "device").mkdir(parents=True)
        (folder / "device" / "driver").symlink_to(tmp_path / "drivers" / driver)
    assert keeps_order(rxe, "x86_64")
    assert keeps_order(mlx5, "x86_64")
    assert not keeps_order(rxe, "aarch64")
    assert not keeps_order(mlx5, "aarch64")
    assert not keeps_order(efa, "x86_64")
    assert not keeps_order(none, "x86_64")
    assert LinkSettings().tail_mode("no such device") == "imm"
    assert LinkSettings(tail="write").tail_mode("no such device") == "write"
