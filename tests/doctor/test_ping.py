"""`rdmaq ping`: a node that is there, by either kind of address, and one that is not."""

from __future__ import annotations

import json

import pytest

import rdmaq
from rdmaq.cli import run


@pytest.mark.parametrize("address", ["local:feed", "127.0.0.1:0"])
def test_node_that_is_there_answers_as_often_as_it_is_asked(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and as JSON: the transport, what is on offer, and so many round trips."""
    with rdmaq.Node(address) as node:
        node.publish("s", capacity="64KiB")
        node.table("t", "<u8", rows=1)
        assert run(["ping", node.address, "--count", "3", "--timeout", "20"]) == 0
        words = capsys.readouterr().out
        assert "transport shm; 1 streams, 1 regions and tables" in words
        assert "3 round trips: median" in words
        assert run(["ping", node.address, "--count", "3", "--timeout", "20", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["transport"] == "shm"
        assert len(facts["round_trips_us"]) == 3
        assert all(us > 0 for us in facts["round_trips_us"])


@pytest.mark.parametrize("address", ["local:nobody", "127.0.0.1:1", "nonsense"])
def test_node_that_is_not_there_is_told_in_one_line(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what happened and what to do."""
    assert run(["ping", address]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("command", ["ping", "streams"])
def test_time_that_was_waited_is_not_advised(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who gave --timeout is told to wait longer; who did not, that there is such an option."""
    assert run([command, "local:nobody"]) == 2
    assert "pass --timeout SECONDS to wait" in capsys.readouterr().err
    for words in (["--timeout", "0.1"], ["--timeout=0.1"]):
        assert run([command, "local:nobody", *words]) == 2
        assert "wait longer (--timeout)" in capsys.readouterr().err
