"""What the machine says of itself."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from oneoff.wiring.system import current_actor, current_release

COMMIT = "c0ffee" * 6


def repository(folder: Path, head: str = "ref: refs/heads/main\n") -> Path:
    """The files of a repository, as git lays them out."""
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text(head)
    return git


def commit(folder: Path) -> str | None:
    return current_release(folder, "1.0").commit


class TestCommit:
    """The commit that is checked out, without starting git."""

    def test_a_branch(self, tmp_path: Path) -> None:
        """Also from a folder below."""
        (repository(tmp_path) / "refs" / "heads" / "main").write_text(COMMIT + "\n")
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert commit(tmp_path) == commit(below) == COMMIT

    def test_no_branch(self, tmp_path: Path) -> None:
        """A detached head is the commit itself, as a CI has it."""
        repository(tmp_path, COMMIT + "\n")
        assert commit(tmp_path) == COMMIT

    def test_packed(self, tmp_path: Path) -> None:
        """A fresh clone has its branches in one file."""
        packed = f"# pack-refs\n{'0' * 36} refs/heads/maintenance\n{COMMIT} refs/heads/main\n"
        (repository(tmp_path) / "packed-refs").write_text(packed)
        assert commit(tmp_path) == COMMIT

    def test_a_worktree(self, tmp_path: Path) -> None:
        """Its ``.git`` is a file that leads to its own part of the repository."""
        git = repository(tmp_path / "main")
        (git / "refs" / "heads" / "side").write_text(COMMIT + "\n")
        own = git / "worktrees" / "side"
        own.mkdir(parents=True)
        (own / "HEAD").write_text("ref: refs/heads/side\n")
        (own / "commondir").write_text("../..\n")
        (tmp_path / "side").mkdir()
        (tmp_path / "side" / ".git").write_text(f"gitdir: {own}\n")
        assert commit(tmp_path / "side") == COMMIT

    @pytest.mark.parametrize("head", ["", "ref: refs/heads/unborn\n", "ref: refs/heads/main\n"])
    def test_nothing_yet(self, tmp_path: Path, head: str) -> None:
        """A repository without a commit has none."""
        repository(tmp_path, head)
        assert commit(tmp_path) is None

    def test_unreadable(self, tmp_path: Path) -> None:
        """What is no text is no commit, and no error."""
        (repository(tmp_path) / "HEAD").write_bytes(b"\xff\xfe")
        assert commit(tmp_path) is None


class TestActor:
    """Who is at work."""

    @pytest.mark.parametrize(
        ("claims", "kind"), [({}, "human"), ({"SUDO_USER": "ann"}, "human"), ({"CI": "true"}, "ci")]
    )
    def test_claims_change_no_name(self, claims: dict[str, str], kind: str) -> None:
        """The name is the operating system's; what the environment says stands beside it."""
        actor = current_actor(claims)
        assert (actor.name, actor.kind) == (pwd.getpwuid(os.getuid()).pw_name, kind)
        assert actor.claims == claims

    def test_a_user_without_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A container often has a uid and no name for it."""
        monkeypatch.setattr(os, "getuid", lambda: 123_456_789)
        assert current_actor({}).name == "uid 123456789"
