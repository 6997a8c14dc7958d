"""Manifests that are given on the command line, and the releases that they are of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from oneoff.errors import ManifestUnfit, UsageError, did_you_mean

if TYPE_CHECKING:
    from oneoff.commands.cluster.releases import Wanted
    from oneoff.kube.release.releases import Release

STDIN = "-"
_WORDS = ("running", "target")


def read_text(name: str) -> str:
    """What a file holds, or standard input. Raises ManifestUnfit where it cannot be read."""
    try:
        return sys.stdin.read() if name == STDIN else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise ManifestUnfit(f"{_called(name)} cannot be read: {why}") from error


def read_documents(name: str) -> list[Any]:
    """The documents of a manifest. Raises ManifestUnfit where it is none."""
    from oneoff.kube.manifests import read_manifests

    return read_manifests(read_text(name), _called(name))


def wanted(which: str | None) -> Wanted:
    """What ``--release`` asks for; all but its two words is the name of a manifest.

    Raises:
        ManifestUnfit: the manifest cannot be read, or is none.
        UsageError: it is neither a word nor a file.
    """
    if which in (None, *_WORDS):
        return cast("Release | None", which)
    if which != STDIN and not Path(which).exists():
        raise UsageError(
            f"--release {which}: there is no such file{did_you_mean(which, _WORDS)}",
            next_step="give running, target, or the release's manifest",
        )
    return read_documents(which)


def _called(name: str) -> str:
    return "standard input" if name == STDIN else name
