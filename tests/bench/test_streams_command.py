"""`rdmaq streams` and `rdmaq --version`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rdmaq
from rdmaq import cli
from tests.bench.conftest import Run

PRICE = np.dtype([("price", "<i8"), ("size", "<u4")])


def test_streams_lists_what_is_on_offer(rdmaq_json: Run) -> None:
    """Name, schema, size, flow and where each stands."""
    with rdmaq.Node("local:shop") as node:
        assert rdmaq_json("streams", "local:shop") == []
        node.publish("words", capacity="64KiB").send(b"one")
        node.publish("prices", PRICE, flow=rdmaq.reliable())
        found = {stream["name"]: stream for stream in rdmaq_json("streams", "local:shop")}
    assert set(found) == {"words", "prices"}
    words, prices = found["words"], found["prices"]
    assert words["epoch"] > 0
    assert words == {
        "name": "words",
        "schema": None,
        "capacity_bytes": 65536,
        "flow": "lossy",
        "epoch": words["epoch"],
        "next_sequence": 2,
    }
    assert (prices["name"], prices["schema"], prices["flow"]) == ("prices", str(PRICE), "reliable")


def test_streams_table_names_each_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that looks like markup is shown as it is."""
    with rdmaq.Node("local:shop") as node:
        assert cli.run(["streams", "local:shop"]) == 0
        assert "no stream" in capsys.readouterr().out
        node.publish("[bold]words")
        assert cli.run(["streams", "local:shop"]) == 0
    printed = capsys.readouterr().out
    assert "[bold]words" in printed
    assert "untyped" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("streams", "local:nobody"), "no node at"),
        (("streams", "host:7471"), "host"),
        (("streams", "local:shop", "--timeout", "-1"), "--timeout"),
        (("streams",), "ADDRESS"),
        (("fly",), "fly"),
    ],
)
def test_bad_arguments_end_with_cause_and_cure(
    arguments: tuple[str, ...], words: str, rdmaq_error: Run
) -> None:
    """One line on standard error, exit code 2, nothing on standard output."""
    assert words in rdmaq_error(*arguments)


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """`rdmaq --version` names program and version; `rdmaq` alone prints its help."""
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"rdmaq {rdmaq.__version__}\n"
    assert cli.run([]) == 0
    assert "bench" in capsys.readouterr().out


def test_json_of_streams_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads it from standard output, whole."""
    with rdmaq.Node("local:shop") as node:
        node.publish("words")
        assert cli.run(["streams", "local:shop", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
