"""The rules about C can fail, and only where they should."""

from __future__ import annotations

import pytest

from ci.tidy_rules import c_code
from tests.ci.conftest import TreeOf


@pytest.mark.parametrize(
    "call",
    [
        "malloc(8)",
        "pthread_mutex_lock(&m)",
        'snprintf(b, 8, "x")',
        "syscall(SYS_gettid)",
        "read(fd, b, 8)",
        "nanosleep(&t, 0)",
        "futex_wait(&w)",
        "abort()",
    ],
)
def test_slow_call_in_a_hot_file_is_found_at_its_line(tree_of: TreeOf, call: str) -> None:
    tree = tree_of({"csrc/ring/post_hot.c": f"int f(void) {{\n    {call};\n}}\n"})
    assert [f.line for f in c_code.hot_files_stay_hot(tree)] == [2]


def test_slow_call_elsewhere_or_only_in_words_is_no_finding(tree_of: TreeOf) -> None:
    tree = tree_of(
        {
            "csrc/ring/setup.c": "void *f(void) { return malloc(8); }\n",
            "csrc/ring/read_hot.c": '/* no malloc( here */ // nor read(\nchar *s = "poll(";\n'
            "int spread(int); int g(int x) { return spread(x); }\n",
        }
    )
    assert not list(c_code.hot_files_stay_hot(tree))


def test_assembly_outside_arch_is_found(tree_of: TreeOf) -> None:
    line = '__asm__ volatile("pause");\n'
    tree = tree_of({"csrc/ring/a.c": line, "csrc/arch/x86_64/b.h": line})
    assert [f.path for f in c_code.assembly_stands_in_arch(tree)] == ["csrc/ring/a.c"]


def test_stripping_keeps_line_numbers() -> None:
    assert c_code.strip_comments_and_strings("a /* 1\n2 */ b // c\n").splitlines()[1].strip() == "b"
