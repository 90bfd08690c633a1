"""Rules about C: what hot files may not do, and where assembly stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ci.tidy_rules.tree import Finding, Tree

# Each name is banned as a call.
HOT_BANS = {
    "allocates": "malloc calloc realloc free posix_memalign aligned_alloc strdup alloca "
    "mmap munmap mremap madvise",
    "locks": r"pthread_\w+ mtx_\w+ cnd_\w+ sem_\w+ flock lockf",
    "formats or logs": r"v?[sf]?n?printf puts fputs putchar perror strerror\w* syslog rq_log\w*",
    "enters the kernel": "syscall p?readv? p?writev? send sendto sendmsg sendmmsg "
    r"recv recvfrom recvmsg recvmmsg p?poll epoll_\w+ select ioctl nanosleep clock_nanosleep "
    r"sleep usleep sched_yield \w*futex\w* open close fcntl",
    "ends the process": "exit _exit abort",
}

_NOISE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """,
    re.DOTALL | re.VERBOSE,
)
_ASSEMBLY = re.compile(r"\b(?:asm|__asm|__asm__)\b")


def strip_comments_and_strings(source: str) -> str:
    """Return C source with comments and literals blanked, each line at its own number."""
    return _NOISE.sub(lambda match: "\n" * match.group().count("\n") or " ", source)


def hot_files_stay_hot(tree: Tree) -> Iterator[Finding]:
    """No allocation, lock, system call or formatting in a `*_hot.c` or `*_hot.h`."""
    bans = {
        what: re.compile(rf"\b(?:{'|'.join(names.split())})\s*\(")
        for what, names in HOT_BANS.items()
    }
    for path in tree.select("csrc/**/*_hot.c", "csrc/**/*_hot.h"):
        lines = strip_comments_and_strings(tree.text(path)).splitlines()
        for number, line in enumerate(lines, start=1):
            for what, pattern in bans.items():
                if found := pattern.search(line):
                    name = found.group().rstrip(" (")
                    cure = f"{name}() {what}: move it to a file without _hot in its name"
                    yield Finding(path, number, "hot-file", cure)


def assembly_stands_in_arch(tree: Tree) -> Iterator[Finding]:
    """Inline assembly has a portable twin, so both stand below csrc/arch/."""
    for path in tree.select("csrc/**/*.c", "csrc/**/*.h", "tests/**/*.c", "tests/**/*.h"):
        if path.startswith("csrc/arch/"):
            continue
        lines = strip_comments_and_strings(tree.text(path)).splitlines()
        for number, line in enumerate(lines, start=1):
            if _ASSEMBLY.search(line):
                cure = "put it in a function of csrc/arch/x86_64/ with a twin in csrc/arch/generic/"
                yield Finding(path, number, "assembly", cure)
