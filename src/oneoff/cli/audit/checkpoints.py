"""``--checkpoint``: one that was kept, wherever it was kept."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from oneoff.audit.checkpoints import parse
from oneoff.audit.merkle import Checkpoint
from oneoff.errors import UsageError

checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    metavar="FILE|TEXT|-",
    multiple=True,
    help="One kept earlier: SIZE:ROOT, a file with one on each line, or - for standard input; repeat it.",
)


def given(texts: Iterable[str]) -> list[Checkpoint]:
    """The checkpoints that ``--checkpoint`` names; raises UsageError where one is none."""
    return [checkpoint for text in texts for checkpoint in _given(text)]


def _given(text: str) -> list[Checkpoint]:
    try:
        if text == "-":
            return parse(sys.stdin.read())
        if ":" in text and not Path(text).exists():
            return parse(text)
        return parse(Path(text).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{text!r} is no checkpoint, and no such file is there",
            next_step="give SIZE:ROOT, or a file that holds one on each line",
        ) from None
    except OSError as error:
        raise UsageError(f"the checkpoint {text!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{text!r} is no checkpoint: {error}") from None
