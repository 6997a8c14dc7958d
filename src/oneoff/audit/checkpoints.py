"""Checkpoints in a text, as somebody kept them. Pure."""

from __future__ import annotations

from oneoff.audit.merkle import Checkpoint


def parse(text: str) -> list[Checkpoint]:
    """The checkpoints in a text: one on each line, ``SIZE:ROOT``, or the line that a run prints.

    Blank lines and lines that begin with ``#`` count for nothing.

    Raises:
        ValueError: a line holds something else, or there is no checkpoint at all.
    """
    lines = [line.strip() for line in text.splitlines()]
    found = [Checkpoint.parse(line.removeprefix("checkpoint ")) for line in lines if line and line[0] != "#"]
    if not found:
        raise ValueError("it is empty")
    return found
