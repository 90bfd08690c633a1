"""`rdmaq info`: what it tells, its stable form, and what it keeps to itself."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from rdmaq.cli import run
from rdmaq.config import OF_THE_RIG, SETTINGS
from rdmaq.doctor.facts import FORMAT, gather
from tests.doctor.machines import GIDS, machine

ROOT = Path(__file__).parents[2]


def test_settings_in_force_are_told_and_the_token_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Environment over default, as JSON and in words."""
    monkeypatch.setenv("RDMAQ_TOKEN", "a-token-that-nobody-sees")
    monkeypatch.setenv("RDMAQ_TLS_CA", "/somewhere/ca.pem")
    assert run(["info", "--json"]) == 0
    output = capsys.readouterr().out
    facts = json.loads(output)
    settings = {setting["variable"]: setting for setting in facts["settings"]}
    assert settings["RDMAQ_TLS_CA"]["value"] == "/somewhere/ca.pem"
    assert settings["RDMAQ_TLS_CA"]["source"] == "environment"
    assert settings["RDMAQ_TLS_CA"]["argument"] == "Credentials.ca_file"
    assert settings["RDMAQ_TLS_KEY"]["source"] == "default"
    assert settings["RDMAQ_RUNTIME_DIR"]["value"] == os.environ["RDMAQ_RUNTIME_DIR"]
    assert facts["transports"]["shm"] == {"usable": True, "why_not": None}
    assert run(["info"]) == 0
    output += capsys.readouterr().out
    assert "/somewhere/ca.pem  [environment]  Credentials.ca_file" in output
    assert "nobody-sees" not in output


def test_default_of_a_folder_is_told_as_it_comes_out_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RDMAQ_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/12345")
    assert run(["info", "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    (found,) = [one for one in settings if one["variable"] == "RDMAQ_RUNTIME_DIR"]
    assert (found["value"], found["source"]) == ("/run/user/12345/rdmaq", "default")


def test_every_variable_that_the_code_reads_is_told() -> None:
    """The sources' RDMAQ_* against the list, less what a rig tells its guests."""
    names = set()
    for path in (ROOT / "rdmaq").rglob("*.py"):
        names |= set(re.findall(r"\bRDMAQ_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
    assert names == {setting.variable for setting in SETTINGS} | set(OF_THE_RIG)


def test_ports_are_told_without_pyverbs_and_with_the_reason(tmp_path: Path) -> None:
    """On a machine whose devices cannot be opened: all that /sys has."""
    facts = gather(machine(tmp_path, absent=("pyverbs",)))
    (port,) = facts["ports"]
    assert (port["device"], port["port"], port["state"]) == ("mlx5_0", 1, "ACTIVE")
    assert port["interfaces"] == [{"name": "eth0", "is_up": True, "mtu_bytes": 9000}]
    assert [gid["address"] for gid in port["gids"]] == [address for address, *_ in GIDS]
    assert [gid["is_link_local"] for gid in port["gids"]] == [True, False]
    assert port["limits"] is None
    assert port["limits_unknown"]
    assert facts["transports"]["verbs"]["usable"] is False
    assert "pyverbs" in facts["transports"]["verbs"]["why_not"]
    json.dumps(facts)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "1: DOWN"}, "mlx5_0 port 1 is DOWN"),
        ({"gids": ()}, "has no GID"),
        ({"without": ("dev/",)}, "/dev/infiniband has no uverbs"),
        ({"without": ("sys/class/infiniband", "sys/module")}, "ib_uverbs are not loaded"),
    ],
)
def test_verbs_are_not_usable_and_the_reason_is_told(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    facts = gather(machine(tmp_path, **change))  # type: ignore[arg-type]
    assert facts["transports"]["verbs"]["usable"] is False
    assert why in facts["transports"]["verbs"]["why_not"]


def test_form_has_exactly_these_fields(tmp_path: Path) -> None:
    """Programs rely on them: one that goes or changes its sense takes FORMAT up."""
    facts = gather(machine(tmp_path))
    assert facts["format"] == FORMAT == 1
    assert set(facts) == {
        "format", "rdmaq", "python", "kernel", "machine", "cpus", "clock", "memlock_bytes",
        "hugepages", "packages", "ports", "transports", "settings",
    }  # fmt: skip
    assert set(facts["ports"][0]) == {
        "device", "port", "state", "link_layer", "firmware", "mtu_bytes", "mtu_bytes_max",
        "interfaces", "gids", "limits", "limits_unknown",
    }  # fmt: skip


def test_doctors_form_has_exactly_these_fields(capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"format", "peer", "is_healthy", "is_complete", "findings"}
    assert (told["format"], told["peer"]) == (FORMAT, None)
    assert told["findings"]
    for finding in told["findings"]:
        assert set(finding) == {"check", "symptom", "level", "what", "cure"}
