"""Every symptom has a name, words and a cure of the form that programs and people rely on."""

from __future__ import annotations

import ast
import string
from pathlib import Path

from rdmaq.doctor.checks import CHECKS, SYMPTOMS
from rdmaq.doctor.finding import BAD, NOTE

ROOT = Path(__file__).parents[2]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_names_are_unique_and_fit_into_a_link() -> None:
    names = [symptom.name for symptom in SYMPTOMS]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set(string.ascii_lowercase + string.digits + "-") for name in names)


def test_every_symptom_has_words_and_a_cure_of_one_line() -> None:
    for symptom in SYMPTOMS:
        assert symptom.level in (NOTE, BAD)
        for text in (symptom.words, symptom.cure):
            assert text.strip(), symptom.name
            assert "\n" not in text, symptom.name


def test_a_symptom_filled_with_facts_leaves_no_brace() -> None:
    for symptom in SYMPTOMS:
        names = fields(symptom.words) | fields(symptom.cure)
        finding = symptom.found(**dict.fromkeys(names, "x"))
        assert not {"{", "}"} & {*finding.what, *finding.cure}


def test_every_check_is_of_its_own() -> None:
    assert len(set(CHECKS)) == len(CHECKS)


def test_every_symptom_is_produced_in_the_rig_and_recognised_there() -> None:
    """Its name stands in a test of tests/rdma/test_doctor*.py; made-up machines are not enough."""
    named = set()
    for path in (ROOT / "tests" / "rdma").glob("test_doctor*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    assert {symptom.name for symptom in SYMPTOMS} - named == set()
