"""The page of the documents is the table."""

from __future__ import annotations

import re

import pytest

from oneoff.dryrun import limits
from tests.acceptance.leaks.table import GROUPS
from tests.acceptance.leaks.way import Ends, Group, Held, Way
from tests.acceptance.test_docs import PROJECT

PAGE = PROJECT / "docs" / "reference" / "leaks.md"
_SAYS = {
    Ends.STOPPED: "STOPPED: {}",
    Ends.UNDONE: "the changes, which are undone",
    Ends.ERROR: "the task's own error: {}",
    Ends.REFUSED: "refused: {}",
    Ends.NAMED: "not held, and named: {}",
    Ends.LATE: "on standard error, afterwards: {}",
}


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.title)
def test_the_page_is_the_table(group: Group) -> None:
    """What the page says of a way is what the suite holds to be right."""
    assert f"## {group.title}\n\n{as_markdown(group)}\n" in PAGE.read_text(encoding="utf-8")


def test_every_name_is_one_ways() -> None:
    """A name in the page, or in a failed test, leads to one row; and there are as many as are promised."""
    names = [way.name for group in GROUPS for way in group.ways]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("held", [held for held in Held if held is not Held.NOTHING])
def test_the_page_explains_each_level(held: Held) -> None:
    """Before its tables."""
    assert f"| {held.value} |" in PAGE.read_text(encoding="utf-8").partition("\n## Files\n")[0]


def test_the_page_lists_what_each_report_says() -> None:
    """A text report leads here for the limits of its level."""
    assert f"\n\n{limits_as_markdown()}\n\n" in PAGE.read_text(encoding="utf-8")


def limits_as_markdown() -> str:
    """The limits of each level as they stand on the page."""
    return "\n".join(
        ["| At level | Not covered |", "|---|---|"]
        + [f"| {level} | {limit} |" for level, found in limits.BY_LEVEL.items() for limit in found]
    )


def as_markdown(group: Group) -> str:
    """The table of a group as it stands on the page."""
    lines = ["| Way | What it does | Held by | What the report says |", "|---|---|---|---|"]
    lines += [f"| `{way.name}` | {way.does} | {way.held.value} | {_says(way)} |" for way in group.ways]
    return "\n".join(lines)


def _says(way: Way) -> str:
    words = re.sub(r"\{\w+\}", "…", way.says)
    return _SAYS[way.ends].format(f"`{words}`") if words else _SAYS[way.ends].partition(":")[0]
