"""The page of the settings has every key that is read, and no other."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from oneoff.settings import kubernetes, model, reading

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
SECTIONS: dict[str, Collection[str]] = {
    "Below `environments.NAME`:": reading._ENVIRONMENT,
    "Below `audit`": reading._AUDIT,
    "Below `tasks.NAME`": reading._COMMAND,
    "Below `environments.NAME.kubernetes`": kubernetes._KEYS,
    "[tool.oneoff]": reading._KEYS - {"audit", "environments", "tasks"},
}


def keys_after(words: str) -> list[str]:
    """The first column of the first table after these words."""
    rows = re.search(r"^\| Key .*?\n\n", PAGE[PAGE.index(words) :], re.MULTILINE | re.DOTALL)
    assert rows is not None
    return re.findall(r"^\| `(\w+)`", rows.group(), re.MULTILINE)


@pytest.mark.parametrize("words", SECTIONS)
def test_every_key_has_its_row(words: str) -> None:
    assert sorted(keys_after(words)) == sorted(SECTIONS[words])


def test_every_claim_is_named() -> None:
    told = PAGE[PAGE.index("These are recorded with a run as claims") :]
    assert set(re.findall(r"`([A-Z_]+)`", told)) == {*model.PERSON_CLAIMS, *model.OTHER_CLAIMS}
