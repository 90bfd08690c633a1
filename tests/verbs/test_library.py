"""rdmaq works without pyverbs, and says what to install when verbs are asked for."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from pathlib import Path

import pytest

from rdmaq.errors import VerbsUnavailable
from rdmaq.verbs import library

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_importing_rdmaq_and_its_verbs_loads_no_pyverbs_and_no_libibverbs() -> None:
    answer = run(
        "import rdmaq, rdmaq.verbs, sys\n"
        "assert rdmaq.verbs.ports is not None\n"
        "print([m for m in sys.modules if m.startswith('pyverbs')],"
        " 'libibverbs' in open('/proc/self/maps').read())"
    )
    assert answer.stdout.strip() == "[] False", answer.stderr


def test_opening_without_pyverbs_says_what_to_install() -> None:
    """A finder that hides pyverbs stands for a machine without it."""
    answer = run(
        "import sys\n"
        "from pathlib import Path\n"
        "from rdmaq import verbs, VerbsUnavailable\n"
        "from rdmaq.verbs import library\n"
        "library.FOLDERS = (Path('/nowhere'),)\n"
        "sys.path[:] = [p for p in sys.path if 'dist-packages' not in p]\n"
        "try: verbs.open()\n"
        "except VerbsUnavailable as error: print(error)\n"
    )
    assert "Python finds no pyverbs" in answer.stdout, answer.stderr
    assert "apt-get install python3-pyverbs" in answer.stdout


def test_pyverbs_that_does_not_load_says_why_and_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "pyverbs").mkdir()
    (tmp_path / "pyverbs" / "__init__.py").write_text("")
    (tmp_path / "pyverbs" / "addr.py").write_text("raise ImportError('libibverbs.so.1: no file')")
    answer = run(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from rdmaq import verbs, VerbsUnavailable\n"
        "try: verbs.open()\n"
        "except VerbsUnavailable as error: print(error)\n"
    )
    assert "pyverbs does not load (libibverbs.so.1: no file)" in answer.stdout, answer.stderr
    assert "; install your distribution's" in answer.stdout


def distribution(root: Path, suffix: str) -> Path:
    """A distribution's folder with a pyverbs and another package beside it."""
    for name in ("pyverbs", "another_package"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text("there = True\n")
    (root / "pyverbs" / f"device{suffix}").touch()
    return root


def test_only_pyverbs_is_taken_from_the_distributions_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pyverbs", raising=False)
    before = list(sys.path)
    library._take_from((tmp_path / "absent", distribution(tmp_path / "dist", SUFFIX)))
    try:
        assert sys.modules["pyverbs"].there
        assert sys.path == before
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("another_package")
    finally:
        del sys.modules["pyverbs"]


def test_pyverbs_of_another_python_is_named_and_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pyverbs", raising=False)
    folder = distribution(tmp_path, ".cpython-39-x86_64-linux-gnu.so")
    with pytest.raises(VerbsUnavailable, match=r"is for another Python than 3\.\d+\); install"):
        library._take_from((folder,))
    assert "pyverbs" not in sys.modules


def test_build_without_headers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lib:
        @staticmethod
        def rq_verbs_built() -> int:
            return 0

    monkeypatch.setattr(library, "lib", Lib)
    with pytest.raises(VerbsUnavailable, match=r"no libibverbs headers .*; apt-get install libibv"):
        library.check_built()
