"""Each example runs by itself, is short, and does what its first line promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES_MAX = 39


@pytest.fixture
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What the example named after the test prints, every warning an error (its children's too)."""
    name = request.node.name.removeprefix("test_").partition("__")[0]
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_ticks_to_numpy__every_tick_counts(output: str) -> None:
    count, averages = output.splitlines()
    assert re.fullmatch(r"500,000 ticks in \d+ batches", count)
    prices = [float(price) for price in re.findall(r"\d+\.\d*", averages)]
    assert prices == pytest.approx([100, 101, 102, 103], abs=0.1)


def test_asyncio_consumer__loop_goes_on(output: str) -> None:
    messages, other = output.splitlines()
    assert messages == "200 messages, the last one b'item 199'"
    assert int(re.findall(r"\d+", other)[0]) >= 5


def test_reliable_pipeline__loses_nothing_and_the_source_waits(output: str) -> None:
    source, total = sorted(output.splitlines())
    assert source.startswith("sent 200,000, ")
    assert int(re.findall(r"waited ([\d,]+)", source)[0].replace(",", "")) > 0
    squares = 200_000 * 200_001 * 400_001 // 6
    assert total == f"sum of 200,000 squares: {squares:,}"


def test_variable_size_messages__of_any_length(output: str) -> None:
    assert output.splitlines() == [
        "sent 102 messages in 3 frames",
        "received 102, of 0 to 100,000 bytes, in one batch",
        "order 3: {'id': 3, 'note': 'xxx'}",
        "the large one sums to 700000",
    ]


def test_late_joiner__is_told_exactly_what_it_missed(output: str) -> None:
    lines = dict(line.split(": ", 1) for line in output.splitlines())
    assert lines["live"] == "1 messages, lost []"
    assert lines["a late sequence"] == "11 messages, lost []"
    held = int(lines["oldest"].split()[0])
    assert 100 < held < 1_000
    assert lines["oldest"].endswith("lost []")
    assert lines["sequence 1"] == f"{held} messages, lost [(1, {5_001 - held})]"


def test_remote_counter__counts_every_request_once(output: str) -> None:
    assert output == "3000 requests, 300 errors\n"


def test_last_value_cache__reads_whole_rows_only(output: str) -> None:
    assert output == "torn: 0; the newest bid is 20000, its ask 20001\n"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_is_short_and_tested(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX
    assert f"def test_{path.stem}__" in Path(__file__).read_text(encoding="utf-8")
