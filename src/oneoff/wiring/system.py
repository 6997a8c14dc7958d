"""What this machine says of itself: the time, who is at work, which code is checked out."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from oneoff.runs.intent import Intent
from oneoff.runs.run import Actor, Release
from oneoff.version import __version__

_CI = frozenset({"CI", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILDKITE_BUILD_ID"})


class SystemClock:
    """The clocks of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def current_actor(claims: Mapping[str, str], intent: Intent | None = None) -> Actor:
    """The operating system's user, or whoever a launcher started this process for.

    What the environment says is kept beside it as a claim; so is this process's own user, who is nobody's
    name inside of a pod.
    """
    if intent is not None:
        said = {**claims, **intent.claims, "user": _user_name()}
        return Actor(kind=intent.kind, name=intent.actor, claims=said)
    kind = "ci" if _CI & claims.keys() else "human"
    return Actor(kind=kind, name=_user_name(), claims=dict(claims))


def _user_name() -> str:
    import pwd

    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container often has a uid and no name for it
        return f"uid {uid}"


def current_release(root: Path, version: str | None) -> Release:
    """The release of the code below ``root``; the task adds the digest of its package."""
    return Release(version=version, commit=_commit(root), oneoff=__version__)


def _commit(root: Path) -> str | None:
    """The commit that is checked out, read from git's own files: quicker than starting git, and enough."""
    for folder in (root, *root.parents):
        entry = folder / ".git"
        try:
            if entry.is_dir():
                return _head(entry)
            if entry.is_file():  # a worktree or a submodule: "gitdir: PATH"
                return _head((folder / entry.read_text().partition(":")[2].strip()).resolve())
        except (OSError, UnicodeDecodeError):
            return None
    return None


def _head(git: Path) -> str | None:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head or None
    name = head.removeprefix("ref: ")
    common = git / "commondir"
    homes = [git, (git / common.read_text().strip()).resolve()] if common.is_file() else [git]
    for home in homes:
        if (home / name).is_file():
            return (home / name).read_text().strip()
        packed = home / "packed-refs"
        for line in packed.read_text().splitlines() if packed.is_file() else []:
            if line.endswith(f" {name}"):
                return line.partition(" ")[0]
    return None
