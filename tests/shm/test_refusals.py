"""However long names and dtypes are, a refusal fits into one packet and arrives as what it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import rdmaq
from tests.conformance.rig import SHM, Link

LONG_NAME = "\N{MATHEMATICAL BOLD CAPITAL A}" * 47  # 188 bytes of UTF-8, 564 in JSON


@pytest.fixture
def link() -> Iterator[Link]:
    with Link(SHM) as made:
        yield made


def wide_dtype(count: int, prefix: str) -> np.dtype[np.void]:
    return np.dtype([(f"{prefix}_{i:04}_{'x' * 30}", "<i4") for i in range(count)])


def test_unknown_stream_among_hundreds_with_the_longest_names_is_not_found(link: Link) -> None:
    """As many names are told as fit, in order; before, the answer was larger than a packet."""
    names = [f"{LONG_NAME}{i:04}" for i in range(200)]
    for name in names:
        link.publish(name)
    with pytest.raises(rdmaq.StreamNotFound, match="it offers") as caught:
        link.subscribe("\N{MATHEMATICAL BOLD CAPITAL B}" * 48)
    told = list(caught.value.available)
    assert 30 < len(told) < len(names)
    assert told == names[: len(told)]


def test_mismatch_of_the_widest_dtypes_is_told_with_the_beginning_of_both(link: Link) -> None:
    """Some 500 fields each: their texts are cut, and say so."""
    link.publish("wide", wide_dtype(500, "published"))
    with pytest.raises(rdmaq.SchemaMismatch) as caught:
        link.subscribe("wide", wide_dtype(490, "expected"))
    for text, prefix in (
        (caught.value.actual, "published"),
        (caught.value.expected, "expected"),
    ):
        assert text.startswith(f"[('{prefix}_0000")
        assert text.endswith("...")
        assert len(text) > 20_000


def test_short_refusals_are_not_cut(link: Link) -> None:
    """All names, and both dtypes whole."""
    link.publish("a", "<i4")
    link.publish("b")
    with pytest.raises(rdmaq.StreamNotFound) as missing:
        link.subscribe("c")
    assert missing.value.available == ("a", "b")
    with pytest.raises(rdmaq.SchemaMismatch) as other:
        link.subscribe("a", "<i8")
    assert (other.value.expected, other.value.actual) == ("int64", "int32")


def test_schema_that_no_stream_can_have_is_refused_before_it_is_sent(link: Link) -> None:
    """Thousands of fields would not fit into a packet; the text says how much room there is."""
    link.publish("s")
    with pytest.raises(rdmaq.SchemaError, match="32,768"):
        link.subscribe("s", wide_dtype(4000, "expected"))
