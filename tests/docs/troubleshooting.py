"""The parts of docs/troubleshooting.md that are made of what rdmaq says, so that they cannot drift.

python -m tests.docs.troubleshooting      # writes them into the page
"""

from __future__ import annotations

import re
from pathlib import Path

from rdmaq.doctor.checks import SYMPTOMS
from rdmaq.verbs import failure
from rdmaq.verbs.constants import Status

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
_CHECKS = {
    "shm": "The runtime folder",
    "memlock": "Memory",
    "hugepages": "Memory",
    "packages": "Software",
    "extension": "Software",
    "pyverbs": "Software",
    "devices": "Devices",
    "open": "Devices",
    "ports": "Ports and GIDs",
    "gids": "Ports and GIDs",
    "mtu": "Packet sizes",
    "firewall": "The firewall",
    "clock": "Clocks",
    "route": "The way to a node",
    "node": "The way to a node",
    "path": "The way to a node",
}


def findings() -> str:
    """A section for each symptom: its words with *names* for what differs, its level, its cure."""
    parts, section = [], ""
    for symptom in SYMPTOMS:
        title = _CHECKS[symptom.check]
        if title != section:
            parts.append(f"### {title}\n")
            section = title
        parts.append(
            f"#### {symptom.name}\n\n> {_shown(symptom.words)}\n\n"
            f"({symptom.level}) **Cure:** {_shown(symptom.cure)}\n"
        )
    return "\n".join(parts)


def failures() -> str:
    """A section for each way in which an operation fails: the likely cause and the cure."""
    parts = []
    for status, (cause, cure) in failure.MEANINGS.items():
        name = Status(status).name
        parts.append(f"#### {name}\n\n{_sentence(cause)}.\n\n**Cure:** {_sentence(cure)}.\n")
    return "\n".join(parts)


def _shown(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"*\1*", text)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def filled(page: str) -> str:
    """The page with its made parts as they are now."""
    for name, content in (("findings", findings()), ("failures", failures())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"docs/troubleshooting.md has no {begin.strip()} ... {end.strip()}"
        page = f"{before}{begin}\n{content}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
