"""The reference is made of the docstrings: all that is public is in it, and says what it must."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import GetSetDescriptorType, MethodDescriptorType
from typing import Any

import pytest

import rdmaq
from rdmaq import verbs

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "docs" / "api" / "module.html.jinja2"
_UNITS = {"_ns": r"\bns\b|Nanoseconds", "_bytes": r"\b[Bb]ytes\b", "_bytes_max": r"\b[Bb]ytes\b"}


def internal() -> set[str]:
    """What the template leaves out: public in name, for rdmaq's own modules."""
    found = re.search(r"set internal = (\[.*?\])", TEMPLATE.read_text(), re.DOTALL)
    assert found is not None
    return set(ast.literal_eval(found[1]))


def classes() -> dict[str, type]:
    return {n: v for n in rdmaq.__all__ if isinstance(v := getattr(rdmaq, n), type)}


def members() -> Iterator[tuple[str, Any]]:
    """Every public function, and every public method and property of a public class."""
    for name in rdmaq.__all__:
        if inspect.isfunction(value := getattr(rdmaq, name)):
            yield name, value
    for name, value in vars(rdmaq.clock).items():
        if inspect.isfunction(value):
            yield f"clock.{name}", value
    for class_name, cls in classes().items():
        for name, value in inspect.getmembers(cls):
            qualname = f"{class_name}.{name}"
            is_own = not issubclass(cls, BaseException) or name in vars(cls)
            is_internal = name.startswith("_") or name == "closed_error" or qualname in internal()
            if is_internal or not is_own:
                continue
            if is_function(value) or isinstance(value, property | GetSetDescriptorType):
                yield qualname, value


def is_function(value: Any) -> bool:
    """Written in Python or in C."""
    return inspect.isfunction(value) or isinstance(value, MethodDescriptorType)


def functions() -> list[tuple[str, Any]]:
    return [(name, value) for name, value in members() if is_function(value)]


def is_variant(name: str, text: str) -> bool:
    """It begins with "As `read`" or "`Region.fetch_add` by …": that one has all the words."""
    found = re.match(r"(?:As )?`([\w.]+)`", text)
    if found is None:
        return False
    known = {other for other, _ in members()}
    return found[1] in known or f"{name.partition('.')[0]}.{found[1]}" in known


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `scripts/docs` writes; a warning of pdoc's would be its failure."""
    folder = tmp_path_factory.mktemp("api")
    done = subprocess.run(
        [ROOT / "scripts" / "docs", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = {
        "rdmaq": "rdmaq.html",
        "clock": "rdmaq/clock.html",
        "verbs": "rdmaq/verbs.html",
    }
    return {name: (folder / path).read_text(encoding="utf-8") for name, path in names.items()}


def test_every_public_name_has_its_place_in_the_reference(pages: dict[str, str]) -> None:
    names = set(rdmaq.__all__) - {"clock"} | {name for name, _ in members()}
    for name in names:
        page = "clock" if name.startswith("clock.") else "rdmaq"
        assert f'id="{name.removeprefix("clock.")}"' in pages[page], name


@pytest.mark.parametrize("name", verbs.__all__)
def test_every_public_name_of_verbs_has_its_place_too(pages: dict[str, str], name: str) -> None:
    """With its methods and properties, except what a base of Python's own brings."""
    assert f'id="{name}"' in pages["verbs"]
    cls = getattr(verbs, name)
    for member, value in vars(cls).items() if isinstance(cls, type) else ():
        if not member.startswith("_") and (
            inspect.isfunction(value) or isinstance(value, property)
        ):
            assert f'id="{name}.{member}"' in pages["verbs"], member


def test_page_of_verbs_is_found_from_the_first_one(pages: dict[str, str]) -> None:
    assert 'href="rdmaq/verbs.html"' in pages["rdmaq"]


def test_what_is_internal_is_not_in_the_reference(pages: dict[str, str]) -> None:
    for name in internal():
        cls, _, member = name.partition(".")
        assert hasattr(getattr(rdmaq, cls), member), name
        assert f'id="{name}"' not in pages["rdmaq"]


@pytest.mark.parametrize("name", rdmaq.__all__)
def test_everything_public_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(rdmaq, name))
    own = vars(getattr(rdmaq, name)).get("__doc__") if name in classes() else None
    assert name not in classes() or (own and not own.startswith(f"{name}(")), "dataclass's own"


@pytest.mark.parametrize(("name", "function"), functions(), ids=[n for n, _ in functions()])
def test_function_names_its_arguments_and_what_it_raises(name: str, function: Any) -> None:
    """Or says that it raises nothing, or of whom it is a variant; `close` never does."""
    text = inspect.getdoc(function)
    assert text
    if is_variant(name, text):
        return
    for argument in inspect.signature(function).parameters:
        if argument != "self":
            assert re.search(rf"^ *{argument}: |`{argument}`", text, re.MULTILINE), argument
    assert "Raises" in text or name.endswith(".close")


@pytest.mark.parametrize(("name", "value"), list(members()), ids=[n for n, _ in members()])
def test_quantities_have_units(name: str, value: Any) -> None:
    text = inspect.getdoc(value)
    assert text, "no docstring"
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            assert re.search(unit, text), f"{name} does not say its unit"
    if is_function(value):
        for argument, parameter in inspect.signature(value).parameters.items():
            is_time = "float" in str(parameter.annotation) or argument == "timeout"
            if is_time and not is_variant(name, text):
                assert re.search(rf"{argument}.*seconds", text), f"{argument} of {name} has no unit"


def test_every_attribute_of_a_value_is_described() -> None:
    for name, cls in classes().items():
        for field in getattr(cls, "__dataclass_fields__", ()):
            assert re.search(rf"^ *{field}: ", inspect.getdoc(cls) or "", re.MULTILINE), (
                f"{name}.{field}"
            )


def test_names_in_docstrings_exist() -> None:
    """`Node.publish` in a text is an attribute of a public class."""
    texts = [inspect.getdoc(v) for v in classes().values()]
    texts += [inspect.getdoc(value) for _, value in members()]
    for text in filter(None, texts):
        for cls, member in re.findall(r"`([A-Z]\w+)\.(\w+)", text):
            assert hasattr(classes()[cls], member), f"{cls}.{member}"
