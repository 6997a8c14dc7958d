"""A real run whose effects are measured, over several databases, and beside those that are not declared."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import psycopg2
import pytest
from django.db import transaction
from django.db.models import F

from oneoff.databases import other_drivers
from oneoff.databases.handles import Databases
from oneoff.databases.together import Together
from oneoff.databases.undeclared import Undeclared
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import TableEffect
from oneoff.errors import DryRunStopped, DryRunUnavailable, NotCommitted, PartlyCommitted
from tests.integration.databases.django_shop import Account, Project, project
from tests.postgres import Server

__all__ = ["project"]

_EFFECTS = Measure(keeps=True, holds_others=False)
_EXPECT = Measure(keeps=True)
_SCHEMA = ("CREATE TABLE account (id int PRIMARY KEY, balance int)", "INSERT INTO account VALUES (1, 0)")
_UPDATE = "UPDATE account SET balance = balance + 1"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / "one.db", tmp_path / "two.db")
    for path in paths:
        _in_file(path, *_SCHEMA)
    return paths


@pytest.fixture
def urls(postgres: Server) -> Iterator[tuple[str, str]]:
    with postgres.database() as one, postgres.database() as two:
        for name in (one, two):
            postgres.execute(*_SCHEMA, database=name)
        yield postgres.url(one), postgres.url(two)


def _in_file(path: Path, *statements: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements][-1]


def _balance(place: Path | str) -> int:
    query = "SELECT balance FROM account"
    if isinstance(place, Path):
        return int(_in_file(place, query)[0][0])
    with psycopg.connect(place, options="") as connection:
        (balance,) = connection.execute(query.encode()).fetchone() or (None,)
        return int(balance)


def _add(*places: Path | str) -> None:
    for place in places:
        if isinstance(place, Path):
            _in_file(place, _UPDATE)
        else:
            with psycopg.connect(place) as connection:
                connection.execute(_UPDATE.encode())


def _kept(handle: Any, measure: Measure, *places: Path | str) -> Together:
    seal = Databases().seal(handle, measure)
    with seal:
        _add(*places)
        seal.measure()
        seal.keep()
    return seal


def _url(place: Path | str) -> str:
    return f"sqlite:///{place}" if isinstance(place, Path) else place


def test_all_that_are_declared_are_kept(files: tuple[Path, Path], urls: tuple[str, str]) -> None:
    """Files and servers in one run: each has its report, and what is named twice is kept once."""
    places = (files[0], urls[0], files[1], urls[1])
    seal = _kept([_url(place) for place in (*places, files[0])], _EXPECT, *places)
    assert [report.tables for report in seal.reports()] == [(TableEffect(table="account", updated=1),)] * 4
    assert [_balance(place) for place in places] == [1, 1, 1, 1]


def test_all_are_measured_before_one_commits(files: tuple[Path, Path], urls: tuple[str, str]) -> None:
    """Where the second cannot keep its work, the first one's is named as kept."""
    seal = Databases().seal([urls[0], _url(files[0])], _EXPECT)
    with seal:
        _add(urls[0], files[0])
        seal.measure()
        _from_outside(files[0])
        with pytest.raises(PartlyCommitted, match=r"committed, and sqlite .* did not"):
            seal.keep()
    assert _balance(urls[0]) == 1
    assert _balance(files[0]) == 10


def _from_outside(path: Path) -> None:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        " c.execute('UPDATE account SET balance = 10'); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_what_is_not_declared_is_left_alone(files: tuple[Path, Path], urls: tuple[str, str]) -> None:
    """It is real work: it is written, also through a connection from before, named, and not counted."""
    with (
        closing(sqlite3.connect(files[1])) as early,
        closing(psycopg.connect(urls[1], options="")) as early_too,
    ):
        seal = Databases().seal([_url(files[0]), urls[0]], _EFFECTS)
        with seal:
            _add(*files, *urls)
            assert (_balance(files[1]), _balance(urls[1])) == (1, 1)
            early.execute(_UPDATE)
            early.commit()
            early_too.execute(_UPDATE.encode())
            early_too.commit()
            sqlite3.connect(files[0].with_name("new.db")).close()
            seal.measure()
            seal.keep()
    assert seal.attempts == ()
    assert [_balance(place) for place in (*files, *urls)] == [1, 2, 1, 2]
    assert [report.tables for report in seal.reports()] == [(TableEffect(table="account", updated=1),)] * 2
    named = [gap for gap in seal.not_covered if "what is written there is not counted" in gap]
    assert len(named) == 3


@pytest.mark.parametrize("measure", [_EFFECTS, _EXPECT], ids=["effects", "expect"])
def test_a_driver_that_nothing_can_be_led_by(urls: tuple[str, str], measure: Measure) -> None:
    """Without psycopg 3 its databases are not declared ones: they are left alone, or not reached at all."""
    undeclared = Undeclared(readable=True, held=measure.holds_others)
    with other_drivers.refused("psycopg2", undeclared):
        if undeclared.held:
            with pytest.raises(DryRunStopped, match="needs psycopg 3"):
                psycopg2.connect(urls[0])
            return
        with closing(psycopg2.connect(urls[0])) as connection, connection:
            connection.cursor().execute(_UPDATE)
    assert _balance(urls[0]) == 1
    assert "what is reached through psycopg2: not the app's declared" in undeclared.notes.gaps[0]


def test_what_other_drivers_write_undeclared_is_left_alone(urls: tuple[str, str]) -> None:
    """Through psycopg2 the declared database is measured, and another is written for real."""
    seal = Databases().seal(urls[0], _EFFECTS)
    with seal:
        for url in urls:
            with closing(psycopg2.connect(url)) as connection, connection:
                connection.cursor().execute(_UPDATE)
        assert _balance(urls[1]) == 1
        seal.measure()
        seal.keep()
    assert [_balance(url) for url in urls] == [1, 1]
    assert seal.report().tables == (TableEffect(table="account", updated=1),)


def test_what_is_not_declared_stays_where_the_run_is_not_kept(
    files: tuple[Path, Path], urls: tuple[str, str]
) -> None:
    """Nothing can take it back, and what is declared is as it was."""
    seal = Databases().seal([_url(files[0]), urls[0]], _EFFECTS)
    with seal:
        _add(*files, *urls)
    assert [_balance(place) for place in (*files, *urls)] == [0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["file", "server"])
def test_what_is_held_to_a_report_writes_nowhere_else(
    files: tuple[Path, Path], urls: tuple[str, str], kind: str
) -> None:
    """A write to what is not declared could not be taken back: it fails, and is told."""
    mine, other = files if kind == "file" else urls
    seal = Databases().seal(_url(mine), _EXPECT)
    with seal, suppress(sqlite3.Error, psycopg.Error, DryRunStopped):
        _add(other)
    assert seal.attempts
    assert (_balance(mine), _balance(other)) == (0, 0)


def test_a_road_past_what_is_measured_is_refused(urls: tuple[str, str]) -> None:
    """A connection from before to the declared database would write what nobody counts."""
    with (
        closing(psycopg.connect(urls[0], options="")),
        pytest.raises(DryRunUnavailable, match="was opened before the task"),
    ):
        _kept(urls[0], _EFFECTS, urls[0])
    assert _balance(urls[0]) == 0


def test_an_app_without_a_database_has_no_effects_to_measure() -> None:
    """What it writes would not be counted, and no counts are not none."""
    with pytest.raises(DryRunUnavailable, match="declares no database whose effects"):
        Databases().seal(None, _EFFECTS)


_called: list[str] = []


@pytest.fixture
def called() -> Iterator[list[str]]:
    _called.clear()
    yield _called
    _called.clear()


def _mail() -> None:
    """Says what the database has, and writes as a hook may."""
    _called.append(str(Account.objects.get(id=1).balance))
    with transaction.atomic():
        Account.objects.filter(id=2).update(balance=20)
        transaction.on_commit(lambda: _called.append("nested"))


def _fail() -> None:
    raise ZeroDivisionError


def test_hooks_of_a_commit_are_called_after_the_only_one(project: Project, called: list[str]) -> None:
    """In order, each as often as it was asked for, and with the app's database as it is then."""
    seal = Databases().seal("default", _EFFECTS)
    with seal:
        with transaction.atomic():
            Account.objects.update(balance=F("balance") + 10)
            transaction.on_commit(_mail)
        transaction.on_commit(_fail, robust=True)
        with transaction.atomic("reports"):
            transaction.on_commit(lambda: called.append("reports"), using="reports")
        assert called == ["reports"]
        seal.measure()
        seal.keep()
    assert called == ["reports"]
    seal.call_hooks()
    assert called == ["reports", "11", "nested"]
    assert [effect.call.rpartition(".")[2] for effect in seal.effects] == ["_mail", "_fail"]
    assert Account.objects.get(id=2).balance == 20


def test_a_hook_that_fails_is_heard(project: Project, called: list[str]) -> None:
    """What it raises is the run's; those after it are not called."""
    seal = Databases().seal(("default", "reports"), _EXPECT)
    with seal:
        transaction.on_commit(_fail)
        transaction.on_commit(lambda: called.append("never"))
        seal.measure()
        seal.keep()
    with pytest.raises(ZeroDivisionError):
        seal.call_hooks()
    assert called == []


def test_what_nothing_was_kept_of_cannot_be_kept_later(files: tuple[Path, Path]) -> None:
    """Somebody else has written meanwhile: nothing of the run stays, and nothing of theirs is lost."""
    seal = Databases().seal([_url(file) for file in files], _EXPECT)
    with seal:
        _add(*files)
        _from_outside(files[0])
        seal.measure()
        with pytest.raises(NotCommitted) as raised:
            seal.keep()
    assert not isinstance(raised.value, PartlyCommitted)
    assert [_balance(file) for file in files] == [10, 0]
