"""Write the C source of `rdmaq._ext` from `rdmaq_abi.h`, the one description of the C interface.

The header is real C: rdmaq's own sources include it, and so does the generated wrapper, so the
compiler checks each declaration against its definition. What stands between the two marker lines
is given to cffi as it is; cffi reads plain declarations and `#define NAME integer`, no more.
Headers that it includes by `#include "NAME.h"` are parts of it.

Usage: build_cffi.py rdmaq_abi.h OUTPUT.c
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

BEGIN = "/* cffi: begin */"
END = "/* cffi: end */"
_INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)


def extract_declarations(header: str, name: str = "rdmaq_abi.h") -> str:
    """Return the lines between each pair of markers, at their own line numbers.

    Args:
        header: Text of the header.
        name: How to call it in an error.

    Raises:
        ValueError: Markers are absent, nested or not closed; mend the header.
    """
    inside = False
    opened_count = 0
    kept: list[str] = []
    for number, line in enumerate(header.splitlines(), start=1):
        marker = line.strip()
        if marker in (BEGIN, END):
            if (marker == BEGIN) == inside:
                raise ValueError(f"{name}:{number}: {marker} does not pair with the marker before")
            inside = marker == BEGIN
            opened_count += inside
            kept.append("")
        else:
            # Blank lines keep the numbers, so that a cffi error names the header's own line.
            kept.append(line if inside else "")
    if inside:
        raise ValueError(f"{name}: the last {BEGIN} is not closed; add {END}")
    if not opened_count:
        raise ValueError(f"{name}: nothing to declare; put declarations between {BEGIN} and {END}")
    return "\n".join(kept) + "\n"


def read_header(path: Path) -> str:
    """Return a header's text with the headers beside it that it includes in their places."""

    def included(match: re.Match[str]) -> str:
        return read_header(path.with_name(match[1]))

    return _INCLUDE.sub(included, path.read_text(encoding="utf-8"))


def main(header_path: Path, output_path: Path) -> None:
    """Generate `output_path`; unchanged content keeps its time, so nothing is compiled again."""
    builder = cffi.FFI()
    declarations = extract_declarations(read_header(header_path), str(header_path))
    builder.cdef(declarations)
    builder.set_source("rdmaq._ext", f'#include "{header_path.name}"\n', py_limited_api=True)
    builder.emit_c_code(str(output_path))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
