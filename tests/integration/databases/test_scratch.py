"""A dry run on SQLite that is killed leaves its copies behind; the next one removes them, and no more."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from oneoff import own
from oneoff.databases.handles import Databases

_SEALED = (
    "import sys, time\n"
    "from oneoff.databases.handles import Databases\n"
    "with Databases().seal(sys.argv[1]):\n"
    "    print('ready', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of those it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id)")
    return f"sqlite:///{path}"


@contextmanager
def _another_dry_run(url: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", _SEALED, url], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def _copies(temporary: Path) -> list[Path]:
    return [path for path in temporary.rglob("*") if path.name.startswith("shop.db")]


def test_the_copies_of_a_killed_dry_run_go_with_the_next_one(temporary: Path, url: str) -> None:
    """kill -9 leaves both copies; the next dry run begins by removing them."""
    with _another_dry_run(url) as process:
        process.kill()
    assert len(_copies(temporary)) == 2
    (left,) = temporary.iterdir()
    with Databases().seal(url):
        assert not left.exists()
        assert len(_copies(temporary)) == 2
    assert list(temporary.iterdir()) == []


def test_the_copies_of_a_living_dry_run_stay(temporary: Path, url: str) -> None:
    """Its lock is held, and the next one leaves it alone."""
    with _another_dry_run(url):
        (living,) = temporary.iterdir()
        with Databases().seal(url):
            assert len(_copies(temporary)) == 4
        assert list(temporary.iterdir()) == [living]
        assert len(_copies(temporary)) == 2


def test_only_its_own_folders_are_removed(temporary: Path, url: str, tmp_path: Path) -> None:
    """Other names, links, folders without a lock and folders of other users stay as they are."""
    real = _folder(tmp_path / "elsewhere")
    (temporary / "oneoff-copy-link").symlink_to(real)
    _folder(temporary / "other-copy-x")
    (temporary / "oneoff-copy-new").mkdir()
    (temporary / "oneoff-copy-file").touch()
    linked = _folder(temporary / "oneoff-copy-linked-lock")
    (linked / "lock").unlink()
    (linked / "lock").symlink_to(real / "lock")
    if os.geteuid() == 0:
        foreign = _folder(temporary / "oneoff-copy-foreign")
        os.chown(foreign, 65534, 65534)
    before = sorted(temporary.rglob("*"))
    with Databases().seal(url):
        pass
    assert sorted(temporary.rglob("*")) == before
    assert (real / "files" / "kept").exists()


def test_a_link_among_the_copies_is_not_followed(temporary: Path, url: str, tmp_path: Path) -> None:
    """What is removed is the link and not what it leads to."""
    real = _folder(tmp_path / "elsewhere")
    (_folder(temporary / "oneoff-copy-x") / "files" / "link").symlink_to(real)
    with Databases().seal(url):
        pass
    assert list(temporary.iterdir()) == []
    assert (real / "files" / "kept").exists()


def _folder(path: Path) -> Path:
    """What a killed dry run leaves."""
    (path / "files").mkdir(parents=True)
    (path / "files" / "kept").touch()
    (path / "lock").touch()
    return path


def test_the_task_may_write_to_its_copy(temporary: Path, url: str) -> None:
    """A guard over files lets it through, as long as there is one."""
    with Databases().seal(url), closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        copy = connection.execute("PRAGMA database_list").fetchone()[2]
        assert copy.startswith(f"{temporary}/")
        assert own.may_write(copy)
        assert not own.at_work()
    assert not own.may_write(copy)
