"""The cffi definition is taken from the C header, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrc.build_cffi import BEGIN, END, extract_declarations, read_header


def test_only_lines_between_markers_are_kept_at_their_line_numbers() -> None:
    header = f"#include <x.h>\n{BEGIN}\nint a(void);\n{END}\nint b;\n{BEGIN}\nint c(void);\n{END}\n"
    lines = extract_declarations(header).splitlines()
    assert lines == ["", "", "int a(void);", "", "", "", "int c(void);", ""]


@pytest.mark.parametrize(
    "header", ["int a;\n", f"{BEGIN}\n{BEGIN}\n{END}\n", f"{BEGIN}\nint a;\n", f"{END}\n"]
)
def test_absent_or_unpaired_markers_are_refused(header: str) -> None:
    with pytest.raises(ValueError, match=r"^rdmaq_abi\.h"):
        extract_declarations(header)


def test_included_header_stands_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.h").write_text('#include <x.h>\n#include "b.h"\nint a;\n')
    (tmp_path / "b.h").write_text("int b;\n")
    assert read_header(tmp_path / "a.h") == "#include <x.h>\nint b;\n\nint a;\n"
