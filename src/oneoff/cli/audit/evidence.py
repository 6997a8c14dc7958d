"""``--checkpoint`` and ``--key``: what was kept elsewhere, wherever it was kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from oneoff.audit.evidence import Evidence
from oneoff.errors import UsageError

checkpoint_option = click.option(
    "--checkpoint",
    "checkpoints",
    metavar="TEXT|FILE|-",
    multiple=True,
    help="Kept elsewhere: SIZE:ROOT, a note, an anchor's line, or a file of these; - is stdin; repeat it.",
)
key_option = click.option(
    "--key", "keys", metavar="VKEY", multiple=True, help="Only what this key has signed counts; repeat it."
)


LONGEST = 100_000
"""Bytes of one word that travel to a pod: Linux takes 128 KiB of an argument."""

Weigh = Callable[[str, Sequence[str]], list[Evidence]]
"""The checkpoints in a text, by these public keys."""


def given(weigh: Weigh, texts: Sequence[str], keys: Sequence[str]) -> list[Evidence]:
    """The checkpoints that the options name, and how each is vouched for.

    Raises:
        UsageError: there is none in a text, or a key is none.
        EvidenceUnfit: one is of another log, or its signature is not the key's.
    """
    if keys and not texts:
        raise UsageError("--key is for the signature of a --checkpoint, and none is given")
    return [evidence for text in texts for evidence in weigh(text_of(text), keys)]


def travelling(text: str) -> str:
    """What the option names, as a text that is taken for nothing else where its file is not.

    Raises:
        UsageError: it cannot be read, or is more than a command line holds.
    """
    found = text_of(text)
    if len(found.encode()) > LONGEST:
        raise UsageError(
            f"--checkpoint: {len(found):,} characters are more than a command line holds",
            next_step="give the last lines of the file: a checkpoint vouches for all before it",
        )
    return found if "\n" in found else f"{found}\n"


def text_of(given: str) -> str:
    """What was typed, or what the file of that name holds."""
    if "\n" in given or (":" in given and not _is_file(given)):
        return given
    try:
        return sys.stdin.read() if given == "-" else Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"{given!r} is neither a checkpoint nor a file that can be read: {why}",
            next_step="give SIZE:ROOT as it was printed, or the file of a note",
        ) from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # longer than a name can be: an anchor's line
        return False
