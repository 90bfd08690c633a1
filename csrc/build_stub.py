"""Write `rdmaq/_ext.pyi` from `rdmaq_abi.h`: the types of the extension, for type checkers.

A test compares the file with what this makes of the header, so the two cannot drift apart.

Usage: build_stub.py rdmaq_abi.h OUTPUT.pyi
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from pycparser import c_ast, c_parser

sys.path.insert(0, str(Path(__file__).parents[1]))
from csrc.build_cffi import extract_declarations, read_header

_INTEGERS = ("uint8_t", "uint16_t", "uint32_t", "uint64_t", "int32_t", "int64_t", "size_t")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DEFINE = re.compile(r"^#define (\w+) (-?\d+) *$", re.MULTILINE)
_HEAD = '''"""What the compiled extension offers; made by csrc/build_stub.py from rdmaq_abi.h."""

from typing import Any, TypeAlias

#: Structs and pointers are cffi's own objects, whose members no checker knows.
CData: TypeAlias = Any
ffi: Any

class _Lib:
'''


def _is_byte_pointer(kind: c_ast.Node) -> bool:
    return (
        isinstance(kind, c_ast.PtrDecl)
        and isinstance(kind.type, c_ast.TypeDecl)
        and isinstance(kind.type.type, c_ast.IdentifierType)
        and kind.type.type.names == ["uint8_t"]
    )


def _argument_type(kind: c_ast.Node) -> str:
    if isinstance(kind, c_ast.PtrDecl):
        return "CData | bytes" if _is_byte_pointer(kind) else "CData"
    return "int"


def _result_type(kind: c_ast.Node) -> str:
    if isinstance(kind, c_ast.PtrDecl):
        return "CData"
    return "None" if kind.type.names == ["void"] else "int"


def _function(declaration: c_ast.Decl) -> str:
    arguments = [
        f"{parameter.name}: {_argument_type(parameter.type)}"
        for parameter in declaration.type.args.params
        if parameter.name is not None  # (void) has one without a name
    ]
    words = ", ".join(["self", *arguments, "/"])
    head, tail = f"    def {declaration.name}(", f") -> {_result_type(declaration.type.type)}: ..."
    if len(head + words + tail) <= 100:
        return head + words + tail
    lines = "".join(f"        {word},\n" for word in ["self", *arguments, "/"])
    return f"{head}\n{lines}    {tail}"


def _members(header: str) -> Iterator[str]:
    declarations = _COMMENT.sub(" ", extract_declarations(header))
    for name, _ in _DEFINE.findall(declarations):
        yield f"    {name}: int"
    known = "".join(f"typedef int {name};\n" for name in _INTEGERS)
    syntax = c_parser.CParser().parse(known + _DEFINE.sub("", declarations))
    for node in syntax.ext:
        if isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl):
            yield _function(node)


def make_stub(header: str) -> str:
    """Return the stub's text for the header's text."""
    return _HEAD + "\n".join(_members(header)) + "\n\nlib: _Lib\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(make_stub(read_header(Path(sys.argv[1]))))
