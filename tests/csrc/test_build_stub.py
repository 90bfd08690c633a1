"""The extension's stub says what the C header says."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrc.build_cffi import read_header
from csrc.build_stub import make_stub
from rdmaq._fast import lib

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "csrc" / "include" / "rdmaq_abi.h"
STUB = ROOT / "rdmaq" / "_ext.pyi"


def test_stub_is_what_the_header_makes() -> None:
    cure = "run: .venv/bin/python csrc/build_stub.py csrc/include/rdmaq_abi.h rdmaq/_ext.pyi"
    assert STUB.read_text() == make_stub(read_header(HEADER)), cure


def test_stub_names_everything_that_the_extension_has() -> None:
    text = STUB.read_text()
    for name in dir(lib):
        assert f"    {name}: int\n" in text or f"    def {name}(" in text


@pytest.mark.parametrize(
    ("declaration", "expected"),
    [
        ("int f(void);", "    def f(self, /) -> int: ..."),
        ("void f(uint64_t a_ns);", "    def f(self, a_ns: int, /) -> None: ..."),
        (
            "int64_t f(const uint8_t *a, struct s *b);",
            "    def f(self, a: CData | bytes, b: CData, /) -> int: ...",
        ),
        ("struct s *f(int *a);", "    def f(self, a: CData, /) -> CData: ..."),
        ("#define A -3", "    A: int"),
    ],
)
def test_declaration_becomes_its_python_signature(declaration: str, expected: str) -> None:
    header = f"/* cffi: begin */\n/* a comment */\n{declaration}\n/* cffi: end */\n"
    assert expected in make_stub(header).splitlines()
