"""Which device a node or a peer takes, from lists of ports; no device is needed."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

import pytest

from rdmaq.errors import DeviceNotFound
from rdmaq.sessions.choice import DeviceChoice
from rdmaq.verbs import choice as verbs_choice
from rdmaq.verbs.devices import Port
from rdmaq.verbs.gids import ROCE_V2, Gid

ROUTES = {"10.1.0.9": "10.1.0.1", "feed-2": "10.2.0.1", "127.0.0.1": "127.0.0.1"}


def port(number: int) -> Port:
    gid = Gid(
        index=1,
        value=IPv6Address(f"::ffff:10.{number}.0.1"),
        kind=ROCE_V2,
        interface=f"eth{number}",
    )
    return Port(
        device=f"mlx5_{number}",
        number=1,
        state="ACTIVE",
        link_layer="Ethernet",
        gids=(gid,),
        interfaces=(f"eth{number}",),
    )


PORTS = [port(0), port(1), port(2)]


@pytest.fixture(autouse=True)
def routes(monkeypatch: pytest.MonkeyPatch) -> None:
    def towards(host: str) -> Any:
        if host not in ROUTES:
            raise DeviceNotFound(f"no route to {host}: none; make one")
        return ip_address(ROUTES[host])

    defaults = dict(verbs_choice.choose.__kwdefaults__ or {}, towards=towards)
    monkeypatch.setattr(verbs_choice.choose, "__kwdefaults__", defaults)


def found(choice: DeviceChoice, *hosts: str) -> str:
    return choice.find(*hosts, ports=PORTS)[0].device


def test_first_host_that_a_port_reaches_decides() -> None:
    assert found(DeviceChoice(), "10.1.0.9", "feed-2") == "mlx5_1"
    assert found(DeviceChoice(), "127.0.0.1", "feed-2") == "mlx5_2"
    assert found(DeviceChoice(), "nobody", "[feed-2]") == "mlx5_2"


def test_hosts_that_no_port_reaches_leave_the_best_port() -> None:
    """The bootstrap may go by another network than the payload."""
    assert found(DeviceChoice(), "127.0.0.1", "nobody") == "mlx5_0"
    assert found(DeviceChoice()) == "mlx5_0"


def test_what_the_user_says_comes_before_any_host() -> None:
    assert found(DeviceChoice(device="mlx5_2"), "10.1.0.9") == "mlx5_2"
    assert found(DeviceChoice(interface="eth0"), "10.1.0.9") == "mlx5_0"
    with pytest.raises(DeviceNotFound, match="no RDMA port fits device='mlx5_9': there is mlx5_0"):
        found(DeviceChoice(device="mlx5_9"), "10.1.0.9")
    with pytest.raises(DeviceNotFound, match="gid_index=7"):
        found(DeviceChoice(gid_index=7))


def test_arguments_win_over_the_environment_as_a_whole() -> None:
    """What stands there of another setting would contradict the argument."""
    environment = {"RDMAQ_DEVICE": "a", "RDMAQ_INTERFACE": "b", "RDMAQ_GID_INDEX": "3"}
    assert DeviceChoice.of(None, None, None, environment) == DeviceChoice(
        device="a", interface="b", gid_index=3
    )
    assert DeviceChoice.of("mlx5_0", None, None, environment) == DeviceChoice(device="mlx5_0")
    assert DeviceChoice.of(None, None, 0, environment) == DeviceChoice(gid_index=0)
    assert DeviceChoice.of(None, None, None, {"RDMAQ_DEVICE": ""}) == DeviceChoice()


@pytest.mark.parametrize("text", ["x", "-1", "65536", "1.0", "٣", "9" * 5000])
def test_gid_index_of_the_environment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DeviceNotFound, match=r"RDMAQ_GID_INDEX=.+ is no number from 0: .+"):
        DeviceChoice.of(None, None, None, {"RDMAQ_GID_INDEX": text})


@pytest.mark.parametrize(
    "wishes",
    [(1, None, None), (None, b"eth0", None), ("", None, None), (None, None, "1"), (None, None, -1)],
)
def test_arguments_of_another_kind_are_refused_in_words(wishes: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r".+=.+: .+; .+"):
        DeviceChoice.of(*wishes)
