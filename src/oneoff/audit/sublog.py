"""The record of a run that went by without the store: lines of JSON, each with the root so far. Pure.

A line holds ``entry``, the text that counts, and ``size`` and ``root`` of the Merkle tree over the entries.
 Whoever may write the file can compute all of it again; the root that was printed when the run ended
shows that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oneoff.audit.event import Event, to_json
from oneoff.audit.merkle import Frontier, leaf_hash
from oneoff.runs.document import to_document
from oneoff.runs.run import Run


@dataclass(frozen=True)
class SubLog:
    """What was kept of one run."""

    entries: tuple[Mapping[str, Any], ...] = ()
    """Each an ``event`` with the ``run`` as it was then."""
    frontier: Frontier = field(default_factory=Frontier)


def line(frontier: Frontier, event: Event, run: Run) -> tuple[bytes, Frontier]:
    """The next line, and the tree with it."""
    entry = json.dumps({"event": to_json(event), "run": to_document(run)})
    grown = frontier.append(leaf_hash(entry.encode()))
    text = json.dumps({"size": grown.size, "root": grown.root.hex(), "entry": entry})
    return text.encode() + b"\n", grown


def parse(content: bytes) -> SubLog:
    """Read it again. A last line that was torn when its writer was killed is left out.

    Raises:
        ValueError: a line is no such line, or does not fit those before it.
    """
    entries, frontier = list[Mapping[str, Any]](), Frontier()
    for text in content.split(b"\n")[:-1]:
        try:
            kept = json.loads(text)
            entry, size, root = kept["entry"], kept["size"], kept["root"]
            frontier = frontier.append(leaf_hash(entry.encode()))
            entries.append(json.loads(entry))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"line {len(entries) + 1} cannot be read: {error!r}") from error
        if (size, root) != (frontier.size, frontier.root.hex()):
            raise ValueError(f"line {len(entries)} was changed, or one before it: it does not fit its root")
    return SubLog(tuple(entries), frontier)
