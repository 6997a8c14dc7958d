from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from oneoff.commands.cluster.catalogues import BRIEFLY, Catalogues
from oneoff.kube.catalogue import ReleaseKey
from oneoff.tasks.document import to_document
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from oneoff.wiring.system import SystemClock
from tests.fakes import FakeClock

TASK = Task(name=TaskName("purge"))
DIGEST = ReleaseKey("sha256:aa", lasting=True)
NAME = ReleaseKey("sha256:bb", lasting=False)


def test_what_is_kept_is_known(tmp_path: Path) -> None:
    """Of each release by itself."""
    kept = Catalogues(tmp_path, SystemClock())
    assert kept.recall(DIGEST) is None
    kept.keep(DIGEST, [to_document(TASK)])
    kept.keep(NAME, [])
    assert kept.recall(DIGEST) == [TASK]
    assert kept.recall(NAME) == []


def test_without_a_digest_it_is_known_for_a_moment(tmp_path: Path) -> None:
    """Also not where the clock was put back meanwhile."""
    clock = FakeClock()
    kept = Catalogues(tmp_path, clock)
    for key in (DIGEST, NAME):
        kept.keep(key, [to_document(TASK)])
    written = clock.now().timestamp()
    for file in (tmp_path / "catalogues").iterdir():
        os.utime(file, (written, written))
    assert kept.recall(NAME) == [TASK]
    clock.at += BRIEFLY
    assert (kept.recall(NAME), kept.recall(DIGEST)) == (None, [TASK])
    clock.at -= BRIEFLY + timedelta(seconds=1)
    assert kept.recall(NAME) is None


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"name": "purge"}]', "\xff"])
def test_a_broken_file_is_none(tmp_path: Path, text: str) -> None:
    """Then the release is asked again."""
    kept = Catalogues(tmp_path, SystemClock())
    kept.keep(DIGEST, [])
    (tmp_path / "catalogues" / "aa.json").write_bytes(text.encode("latin-1"))
    assert kept.recall(DIGEST) is None


def test_the_oldest_go(tmp_path: Path) -> None:
    """A release a day would fill a home otherwise."""
    kept = Catalogues(tmp_path, SystemClock())
    for number in range(60):
        kept.keep(ReleaseKey(f"sha256:{number}", lasting=True), [])
        os.utime(tmp_path / "catalogues" / f"{number}.json", (number, number))
    kept.keep(DIGEST, [])
    names = {file.name for file in (tmp_path / "catalogues").iterdir()}
    assert names == {"aa.json", *(f"{number}.json" for number in range(11, 60))}


def test_nowhere_to_keep_it(tmp_path: Path) -> None:
    """A user without a home, or with one that cannot be written, asks each time."""
    (tmp_path / "catalogues").write_text("no folder")
    for folder in (None, tmp_path):
        kept = Catalogues(folder, SystemClock())
        kept.keep(DIGEST, [])
        assert kept.recall(DIGEST) is None
