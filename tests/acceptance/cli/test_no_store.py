"""A verb that only reads, where nothing was ever recorded: it makes nothing and claims nothing."""

from __future__ import annotations

import subprocess

import pytest

from tests.acceptance.faults.test_readers import obey_permissions_and_searches
from tests.cli import ONEOFF, Project

WORDS = "there is no store here yet: "


@pytest.mark.parametrize("arguments", [("runs",), ("audit", "log")], ids=" ".join)
def test_a_list_is_empty(bare: Project, arguments: tuple[str, ...]) -> None:
    """That is success; standard error says that it may be the wrong folder."""
    ended = bare(*arguments, "-o", "json")
    assert (ended.code, ended.json) == (0, [])
    assert ended.err == f"{WORDS}{bare.root / '.oneoff' / 'store.db'}\n"
    assert bare(*arguments).out.startswith("no ")
    assert list(bare.root.iterdir()) == []


@pytest.mark.parametrize("verb", ["show", "logs", "wait"])
@pytest.mark.parametrize("run", ["@latest", "r0"])
def test_there_is_no_such_run(bare: Project, verb: str, run: str) -> None:
    """As in a store without it."""
    ended = bare(verb, run)
    assert ended.code == 2
    assert "there is no" in ended.err or "no app" in ended.err
    assert list(bare.root.iterdir()) == []


def test_a_task_is_shown(shop: Project) -> None:
    """It needs no store, and no word about one."""
    ended = shop("show", "greet")
    assert (ended.code, ended.err) == (0, "")
    assert not (shop.root / ".oneoff").exists()


@pytest.mark.parametrize("options", [(), ("--checkpoint", f"1:{64 * '0'}")], ids=["plain", "checkpoint"])
def test_nothing_is_verified(bare: Project, options: tuple[str, ...]) -> None:
    """A log that is not there does not fit together; a store may have been moved away."""
    ended = bare("audit", "verify", *options)
    assert (ended.code, ended.out) == (3, "")
    assert "nothing was verified: there is no store" in ended.err
    assert list(bare.root.iterdir()) == []


def test_the_release(bare: Project) -> None:
    """It is that of the code, and no record."""
    assert bare("release").code == 0
    assert list(bare.root.iterdir()) == []


def test_a_store_that_is_half_gone(shop: Project) -> None:
    """Its last commits are there: that is no empty list."""
    assert shop("run", "greet").code == 0
    store = shop.root / ".oneoff" / "store.db"
    store.rename(f"{store}-wal")
    ended = shop("runs")
    assert (ended.code, "is gone" in ended.err) == (3, True)


def test_a_folder_that_may_not_be_entered(shop: Project) -> None:
    """What cannot be seen is not called absent."""
    assert shop("run", "greet").code == 0
    folder = shop.root / ".oneoff"
    folder.chmod(0o000)
    try:
        ended = subprocess.run(
            [ONEOFF, "runs"],
            cwd=shop.root,
            preexec_fn=obey_permissions_and_searches,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        folder.chmod(0o700)
    assert (ended.returncode, "no store here yet" in ended.stderr) == (3, False), ended.stderr


def test_a_long_value_is_shown_short(shop: Project) -> None:
    """The table says how long it is and where it is whole; JSON has it."""
    long = "x" * 100_000
    (shop.root / "long").write_text(long)
    assert shop("run", "size", "--text", "@long", "--reason", long).code == 0
    ended = shop("show", "@latest")
    assert len(ended.out) < 3_000
    assert "x… (100,002 characters; `-o json` has it whole)" in ended.out
    assert "x… (100,000 characters; `-o json` has it whole)" in ended.out
    assert shop.latest()["parameters"]["text"] == long
