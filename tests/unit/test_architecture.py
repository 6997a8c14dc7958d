"""Sizes that keep the code readable. The layers are a contract of import-linter, in ``make check``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import oneoff

SOURCE = Path(oneoff.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_LINES = 500
P95_FUNCTION_LINES = 40
MAX_PARAMETERS = 8
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    """Every function of the package, with its place."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def lines(function: Function) -> int:
    """The length of a function without its docstring, which may be as long as it has to be."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return whole
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1)


def parameters(function: Function) -> int:
    """How many parameters a caller thinks of: ``self`` is none."""
    given = function.args
    names = [argument.arg for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_is_no_book(path: Path) -> None:
    """At most 500 lines, a docstring that says what it is for, and nothing left for later."""
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert ast.get_docstring(ast.parse(text))
    assert not UNFINISHED.search(text)


def test_functions_are_short() -> None:
    """95 of 100 have at most 40 lines."""
    by_length = sorted(functions(), key=lambda entry: lines(entry[1]))
    place, longest_of_most = by_length[int(len(by_length) * 0.95)]
    assert lines(longest_of_most) <= P95_FUNCTION_LINES, place


def test_functions_take_few_parameters() -> None:
    """At most 8."""
    assert [place for place, function in functions() if parameters(function) > MAX_PARAMETERS] == []
