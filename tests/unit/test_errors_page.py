"""The page of errors has each of them, with its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from oneoff import errors

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")


def below(error: type[errors.OneoffError]) -> Iterator[type[errors.OneoffError]]:
    for one in error.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
        yield from below(one)


ALL = {error.__name__: error for error in below(errors.OneoffError)}


@pytest.mark.parametrize("error", ALL.values(), ids=ALL.keys())
def test_every_error_has_its_row(error: type[errors.OneoffError]) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith("|") and f"`{error.__name__}`" in line)
    assert row.split("|")[2].strip() == str(error.exit_code)
    assert f"── {error.__name__}" in (errors.__doc__ or "")
