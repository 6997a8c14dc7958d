"""The command line notices that the audit log is not the one it saw before."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli import Ended, Project, eventually

CHECKPOINT = re.compile(r"^checkpoint (\d+:[0-9a-f]{64})$", re.MULTILINE)
Oneoff = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where ann's oneoff remembers."""
    return tmp_path / "ann"


@pytest.fixture
def ann(shop: Project, home: Path) -> Oneoff:
    """Somebody with a home of their own."""
    return user(shop, home)


def user(shop: Project, home: Path) -> Oneoff:
    return lambda *arguments, **about: shop(*arguments, environ={"XDG_STATE_HOME": str(home)}, **about)


def store_of(shop: Project) -> Path:
    return shop.root / ".oneoff" / "store.db"


def copy_of(shop: Project, folder: Path) -> Path:
    """A whole backup, as SQLite makes it."""
    folder.mkdir()
    with (
        closing(sqlite3.connect(store_of(shop))) as store,
        closing(sqlite3.connect(folder / "store.db")) as copy,
    ):
        store.backup(copy)
    return folder / "store.db"


def put_back(shop: Project, copy: Path) -> None:
    for file in store_of(shop).parent.glob("store.db*"):
        file.unlink()
    shutil.copy(copy, store_of(shop))
    store_of(shop).chmod(0o600)


def remembered(home: Path) -> dict[str, Any]:
    (entry,) = json.loads((home / "oneoff" / "checkpoints.json").read_text()).values()
    return dict(entry)


def size_of(shop: Project) -> int:
    with closing(sqlite3.connect(store_of(shop))) as store:
        return int(store.execute("SELECT size FROM audit_head").fetchone()[0])


def cut(shop: Project, by: int) -> None:
    """What a database administrator does: nothing in the store itself shows it."""
    with closing(sqlite3.connect(store_of(shop))) as store:
        for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%RAISE%'").fetchall():
            store.execute(f"DROP TRIGGER {name}")
        (size,) = store.execute("SELECT size - ? FROM audit_head", [by]).fetchone()
        store.execute("DELETE FROM audit_event WHERE seq >= ?", [size])
        store.execute("DELETE FROM audit_event_table WHERE seq >= ?", [size])
        store.execute("UPDATE audit_head SET size = ?", [size])
        store.commit()


class TestEveryRun:
    def test_prints_the_checkpoint_and_keeps_it_in_its_log(self, shop: Project, ann: Oneoff) -> None:
        """The one that `audit verify` computes."""
        ended = ann("run", "greet")
        (printed,) = CHECKPOINT.findall(ended.err)
        assert ended.err.rstrip().endswith(f"checkpoint {printed}"), "with the ending line"
        assert CHECKPOINT.findall(ann("logs", "@latest").out) == [printed]
        assert ann("audit", "verify", "-o", "json").json["checkpoint"] == printed
        assert ann("audit", "verify", "--checkpoint", printed).code == 0

    @pytest.mark.parametrize("task", ["fail", "late", "build", "slow"])
    def test_that_does_not_succeed_prints_it_too(self, ann: Oneoff, task: str) -> None:
        """A task that failed or took too long, and a command."""
        assert len(CHECKPOINT.findall(ann("run", task).err)) == 1

    def test_as_json_has_it_in_its_document(self, ann: Oneoff) -> None:
        """Where this very command recorded the outcome."""
        ended = ann("run", "greet", "-o", "json")
        assert ended.json["checkpoint"] == ann("audit", "verify", "-o", "json").json["checkpoint"]
        assert CHECKPOINT.findall(ann("logs", "@latest").out) == [ended.json["checkpoint"]]
        assert ann("show", "@latest", "-o", "json").json["checkpoint"] is None

    def test_on_its_own_keeps_it_in_its_log_once(self, ann: Oneoff) -> None:
        """A detached one."""
        ann("run", "greet", "--detach")
        ann("wait", "@latest")
        found = eventually(lambda: CHECKPOINT.findall(ann("logs", "@latest").out))
        assert len(found) == 1
        assert ann("audit", "verify", "--checkpoint", found[0]).code == 0


class TestWhatIsRemembered:
    def test_is_the_end_of_each_run(self, shop: Project, ann: Oneoff, home: Path) -> None:
        """It grows with the log, whoever writes into it."""
        for _ in range(2):
            (printed,) = CHECKPOINT.findall(ann("run", "greet").err)
            entry = remembered(home)
            assert f"{entry['size']}:{entry['root']}" == printed
        shop("run", "greet")
        assert remembered(home)["size"] == size_of(shop) - 3
        ann("runs")
        assert remembered(home)["size"] == size_of(shop)

    def test_each_user_remembers_what_they_saw(self, shop: Project, ann: Oneoff, tmp_path: Path) -> None:
        """Ann has seen more than Bob: a cut that takes what only she saw is hers to notice."""
        bob = user(shop, tmp_path / "bob")
        bob("run", "greet")
        ann("run", "greet")
        cut(shop, 3)
        assert bob("run", "greet").code == 0
        assert ann("run", "greet").code == 3

    def test_a_place_by_another_name(self, shop: Project, ann: Oneoff, home: Path) -> None:
        """A path that goes round leads to the same memory."""
        ann("run", "greet")
        environ = {"XDG_STATE_HOME": str(home), "ONEOFF_STORE": "shop/../.oneoff/store.db"}
        shop("run", "greet", environ=environ)
        assert remembered(home)["size"] == 6


def shortened(shop: Project, tmp_path: Path, ann: Oneoff) -> None:
    copy = copy_of(shop, tmp_path / "backup")
    ann("run", "greet")
    put_back(shop, copy)


def truncated(shop: Project, tmp_path: Path, ann: Oneoff) -> None:
    cut(shop, 2)


def rewritten(shop: Project, tmp_path: Path, ann: Oneoff) -> None:
    """The backup goes on to be longer than what was seen."""
    copy = copy_of(shop, tmp_path / "backup")
    ann("run", "greet")
    put_back(shop, copy)
    shop("run", "greet")
    shop("run", "greet")


def replaced(shop: Project, tmp_path: Path, ann: Oneoff) -> None:
    shutil.rmtree(shop.root / ".oneoff")
    shop("run", "greet")
    shop("run", "greet")


def gone(shop: Project, tmp_path: Path, ann: Oneoff) -> None:
    """The next command that writes makes a new one."""
    shutil.rmtree(shop.root / ".oneoff")
    shop("doctor")


ATTACKS = {
    shortened: "was shortened",
    truncated: "was shortened",
    rewritten: "was rewritten",
    replaced: "was replaced",
    gone: "was replaced",
}


class TestAnotherLog:
    @pytest.fixture(params=ATTACKS, ids=lambda attack: str(attack.__name__))
    def words(self, request: Any, shop: Project, ann: Oneoff, tmp_path: Path) -> Iterator[str]:
        """A store that is not the one that ann saw, in words."""
        ann("run", "greet")
        request.param(shop, tmp_path, ann)
        yield ATTACKS[request.param]

    def test_stops_what_would_write(self, shop: Project, ann: Oneoff, words: str) -> None:
        """Nothing runs, nothing is recorded in a log that is not the one that was seen."""
        before = size_of(shop)
        for command in (
            ["run", "greet"],
            ["exec", "--", "true"],
            ["rerun", "@latest"],
            ["cancel", "@latest"],
        ):
            for _ in range(2):
                refused = ann(*command)
                assert refused.code == 3, command
                assert words in refused.err
                assert "oneoff audit accept" in refused.err
                assert "hello" not in refused.out
        assert size_of(shop) == before

    def test_warns_whoever_reads_each_time(self, ann: Oneoff, words: str) -> None:
        """Standard output stays the result's."""
        for _ in range(2):
            for command in (["runs", "-o", "json"], ["audit", "log", "-o", "json"]):
                shown = ann(*command)
                assert shown.code == 0
                assert shown.err.count("WARNING") == 1, command
                assert words in shown.err
                assert isinstance(shown.json, list)

    def test_does_not_verify(self, shop: Project, ann: Oneoff, words: str) -> None:
        """For ann it fails without being told to; for somebody who saw nothing the log is whole."""
        size = size_of(shop)
        found = ann("audit", "verify")
        assert found.code == 1
        assert "this look at the audit log is not recorded" in found.err
        assert size_of(shop) == size, "nothing is written into a log that is not the one that was seen"
        assert "NOT ok" in found.out
        assert "once" in found.out or words in found.out
        assert shop("audit", "verify").code == 0

    def test_is_accepted_by_somebody_who_answers_for_it(
        self, shop: Project, ann: Oneoff, home: Path, words: str
    ) -> None:
        """It takes a reason and an answer; both states are in the log and on the screen."""
        seen = remembered(home)
        assert ann("audit", "accept").code == 2
        refused = ann("audit", "accept", "--reason", "restored")
        assert refused.code == 3
        assert "--yes" in refused.err
        assert remembered(home) == seen

        accepted = ann("audit", "accept", "--reason", "restored from the backup of Monday", "--yes")
        assert accepted.code == 0, accepted.err
        assert words in accepted.err
        assert f"{seen['size']}:{seen['root']}" in accepted.err
        size = size_of(shop)

        event = ann("audit", "log", "-o", "json").json[-1]["event"]
        assert event["type"] == "dev.oneoff.audit.log.accepted.v1"
        assert event["data"]["reason"] == "restored from the backup of Monday"
        assert event["data"]["seen"] == seen
        assert event["data"]["present"]["size"] == size - 1
        assert event["data"]["change"] in words
        assert ann("run", "greet").code == 0
        verified = ann("audit", "verify")
        assert (verified.code, verified.err) == (0, "")


def test_a_store_that_is_gone(shop: Project, ann: Oneoff, home: Path) -> None:
    """A reader makes none, and does not take it for a store that never was."""
    ann("run", "greet")
    seen = remembered(home)
    shutil.rmtree(shop.root / ".oneoff")
    shown = ann("runs", "-o", "json")
    assert (shown.code, shown.json) == (0, [])
    assert "WARNING: the audit log is gone" in shown.err
    assert remembered(home) == seen
    assert ann("audit", "verify").code == 3
    assert not (shop.root / ".oneoff").exists()


def test_there_is_nothing_to_accept(shop: Project, ann: Oneoff) -> None:
    """A log that continues what was seen gets no event."""
    ann("run", "greet")
    before = size_of(shop)
    assert "nothing to accept" in ann("audit", "accept", "--reason", "why not", "--yes").out
    assert size_of(shop) == before


def test_asked_at_a_terminal(shop: Project) -> None:
    """The question is put, and a no is a no."""
    shop("run", "greet")
    shutil.rmtree(shop.root / ".oneoff")
    for answer, code in (("n\r", 3), ("y\r", 0)):
        with shop.terminal("audit", "accept", "--reason", "a new laptop") as typist:
            typist.read_until("Go on with the log as it is?")
            typist.type(answer)
            assert typist.end() == code, typist.seen
    assert shop("run", "greet").code == 0


def test_hashes_that_are_missing(shop: Project, ann: Oneoff) -> None:
    """What cannot be shown does not pass."""
    ann("run", "greet")
    for _ in range(3):
        shop("run", "greet")
    with closing(sqlite3.connect(store_of(shop))) as store:
        store.execute("DROP TRIGGER audit_event_update")
        store.execute("UPDATE audit_event SET hashes = x'' WHERE seq < 7")
        store.commit()
    refused = ann("run", "greet")
    assert refused.code == 3
    assert "hashes are missing" in refused.err
    read = ann("runs", "-o", "json")
    assert (read.code, len(read.json)) == (0, 4)
    assert "hashes are missing" in read.err


@pytest.mark.parametrize("text", ["", "{", '{"nonsense": 3}', "[]"])
def test_a_broken_memory_stops_nothing(shop: Project, ann: Oneoff, home: Path, text: str) -> None:
    """It is said once, and the next command finds a whole one."""
    ann("run", "greet")
    (home / "oneoff" / "checkpoints.json").write_text(text)
    first, second = ann("run", "greet"), ann("run", "greet")
    assert (first.code, second.code) == (0, 0)
    assert first.err.count("checkpoints.json") == (0 if "nonsense" in text else 2), first.err
    assert "checkpoints.json" not in second.err


def test_a_home_that_takes_nothing(shop: Project, home: Path) -> None:
    """As in a container: it is said, and the run goes on."""
    home.write_text("no folder")
    ended = user(shop, home)("run", "greet")
    assert ended.code == 0
    assert ended.err.count("cannot be written") == 1
