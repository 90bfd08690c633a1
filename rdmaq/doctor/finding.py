"""What doctor says: a finding, and the symptom that it is one of, with its words and its cure."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, BAD, UNSEEN = "ok", "note", "bad", "unseen"
LEVELS = (OK, NOTE, BAD, UNSEEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        symptom: the name of what ails, as docs/troubleshooting.md has it; "" where nothing does.
        level: "ok"; "note": something cannot be done here that others can, or not as well; "bad":
            what should work does not; "unseen": it could not be looked at, and `what` says why.
        what: in words.
        cure: what to do, in one line; "" when nothing is to be done.
    """

    check: str
    symptom: str = ""
    level: str
    what: str
    cure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """Something that doctor recognises. Its texts have {names} for what differs from case to case.

    Attributes:
        name: unique and stable: programs and docs/troubleshooting.md go by it.
        check: whose finding it is.
        level: "note" or "bad"; the check may raise or lower it.
        words: what it is.
        cure: what to do, in one line.
    """

    name: str
    check: str
    level: str
    words: str
    cure: str

    def found(self, *, level: str | None = None, **facts: object) -> Finding:
        """One case of it.

        Args:
            level: where it is another than the usual one.
            facts: a value for each {name} of its texts.
        """
        return Finding(
            check=self.check,
            symptom=self.name,
            level=level or self.level,
            what=self.words.format(**facts),
            cure=self.cure.format(**facts),
        )


def fine(check: str, what: str) -> Finding:
    """Nothing ails."""
    return Finding(check=check, level=OK, what=what)


def unseen(check: str, what: str) -> Finding:
    """Nobody knows: it could not be looked at."""
    return Finding(check=check, level=UNSEEN, what=what)
