"""docs/troubleshooting.md says what rdmaq says."""

from __future__ import annotations

import json
import re

from rdmaq.doctor.facts import as_json, gather
from rdmaq.doctor.finding import LEVELS
from rdmaq.doctor.machine import Machine
from tests.docs.troubleshooting import PAGE, filled


def test_words_and_cures_on_the_page_are_those_of_the_code() -> None:
    """All symptoms of doctor, and all failures of operations; mended by the module's command."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == filled(page), "run: python -m tests.docs.troubleshooting"


def test_fields_of_both_forms_are_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = set(re.findall(r"`([a-z_]+)`", page))
    facts = gather(Machine())
    names = set(facts) | {name for setting in facts["settings"] for name in setting}
    names |= set(as_json([], None)) | {"check", "symptom", "level", "what", "cure", *LEVELS}
    assert names - shown == set()
    json.dumps(facts)
