"""The environment that the programs of these tests start in."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def usual_buffering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that unbuffers every Python would hide what is missing here."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
