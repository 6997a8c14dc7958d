"""What a real Kubernetes API server sent: see tests/recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parent / "recordings"


def stream(folder: str, kind: str) -> list[dict[str, Any]]:
    """The lines of a watch: ``jobs``, ``pods`` or ``events``."""
    lines = (RECORDINGS / folder / f"{kind}.watch.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def last_states(folder: str, kind: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each object by its name, as it was seen last, with the word that came with it."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for line in stream(folder, kind):
        if line["type"] != "BOOKMARK":
            found[line["object"]["metadata"]["name"]] = (line["type"], line["object"])
    return found


def objects(folder: str) -> list[dict[str, Any]]:
    """The objects of a namespace."""
    items: list[dict[str, Any]] = json.loads((RECORDINGS / folder / "objects.json").read_text())["items"]
    return items


def object_of(folder: str, kind: str, name: str) -> dict[str, Any]:
    """One of them."""
    (found,) = (one for one in objects(folder) if one["kind"] == kind and one["metadata"]["name"] == name)
    return found
