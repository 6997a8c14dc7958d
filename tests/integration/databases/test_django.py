"""A Django project's databases in a dry run: by alias, in every way in which Django writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import close_old_connections, connection, connections, transaction
from django.db.models import F

from oneoff.databases.handles import Databases
from oneoff.errors import DryRunUnavailable
from tests.integration.databases.django_shop import Account, Project, named, project

__all__ = ["project"]  # the fixture


def _save(_: list[Any]) -> None:
    account = Account.objects.get(pk=1)
    account.balance = 1000
    account.save()


def _update(_: list[Any]) -> None:
    Account.objects.filter(pk=1).update(balance=F("balance") + 1000)


def _atomic(_: list[Any]) -> None:
    with transaction.atomic():
        _update(_)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Account.objects.all().delete()
            raise ZeroDivisionError


def _durable(_: list[Any]) -> None:
    with transaction.atomic(durable=True):
        _update(_)


def _rolled_back_and_again(_: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Account.objects.filter(pk=3).update(balance=F("balance") + 1)
        raise ZeroDivisionError
    Account.objects.filter(pk=3).update(balance=3)
    _update(_)


def _thread(_: list[Any]) -> None:
    def work() -> None:
        _update(_)
        connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _raw_driver_commit(_: list[Any]) -> None:
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute("UPDATE account SET balance = 1000 WHERE id = 1")
    connection.connection.commit()


def _by_hand(_: list[Any]) -> None:
    transaction.set_autocommit(False)
    _update(_)
    transaction.commit()
    transaction.set_autocommit(True)


def _for_update(_: list[Any]) -> None:
    with transaction.atomic():
        for account in Account.objects.select_for_update().filter(pk=1):
            account.balance += 1000
            account.save(update_fields=["balance"])


def _cursor(_: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE account SET balance = balance + %s WHERE id = %s", [1000, 1])
        cursor.execute("SELECT count(*) FROM account")
        _.append(cursor.fetchone())


def _closed_between(_: list[Any]) -> None:
    _update(_)
    close_old_connections()
    connection.close()
    _.append(Account.objects.filter(balance__gt=1000).count())


def _iterator(_: list[Any]) -> None:
    for account in Account.objects.order_by("pk").iterator(chunk_size=1):
        if account.pk == 1:
            account.balance = 1000
            account.save()


def _bulk_update(_: list[Any]) -> None:
    accounts = list(Account.objects.filter(pk=1))
    accounts[0].balance = 1000
    Account.objects.bulk_update(accounts, ["balance"])


def _another_name(_: list[Any]) -> None:
    Account.objects.using("replica").filter(pk=1).update(balance=1000)


ROADS = [
    _save, _update, _atomic, _durable, _rolled_back_and_again, _thread, _raw_driver_commit, _by_hand,
    _for_update, _cursor, _closed_between, _iterator, _bulk_update, _another_name,
]  # fmt: skip


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__.strip("_"))
def test_whatever_django_does_runs_to_its_end_and_nothing_stays(
    project: Project, road: Callable[[list[Any]], None]
) -> None:
    """The task sees what it sees for real, the databases stay as they are, and the report has the change."""
    before, sealed, real = project.fingerprint(), list[Any](), list[Any]()
    seal = Databases().seal(("default", "replica", "reports"))
    with seal:
        road(sealed)
    assert project.fingerprint() == before
    assert seal.attempts == ()
    first, second = seal.reports()
    assert (first.attempts, second.attempts) == ((), ())
    assert [table.table for table in first.tables if table.updated] == ["account"]
    assert second.tables == ()
    road(real)
    assert sealed == real
    assert project.fingerprint() != before


def test_all_aliases_at_once(project: Project) -> None:
    """Work in two databases, committed in turns and in threads, is counted in each."""
    before = project.fingerprint()

    def reports(ids: Iterator[int]) -> None:
        with transaction.atomic("reports"):
            Account.objects.using("reports").bulk_create(
                [Account(pk=pk, name=f"new {pk}") for pk in ids], batch_size=7
            )
        connections.close_all()

    def task() -> None:
        with transaction.atomic(), transaction.atomic("reports"):
            Account.objects.filter(pk=1).update(balance=7)
            Account.objects.using("reports").filter(pk=2).delete()
        threads = [threading.Thread(target=reports, args=[iter(range(n, n + 20))]) for n in (100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Account.objects.using("reports").count() == 42

    seal = Databases().seal(("default", "reports"))
    with seal:
        task()
    first, second = seal.reports()
    assert [(table.updated, table.inserted, table.deleted) for table in first.tables] == [(1, 0, 0)]
    assert [(table.updated, table.inserted, table.deleted) for table in second.tables] == [(0, 40, 1)]
    assert project.fingerprint() == before


def test_an_alias_that_is_not_declared_is_read_only(project: Project) -> None:
    """It can be read; a write makes the dry run fail, also where the task swallows the error."""
    before = project.fingerprint()

    def task() -> None:
        assert Account.objects.using("reports").count() == 3
        try:
            Account.objects.using("reports").update(balance=0)
        except Exception:
            connections["reports"].close()

    seal = project.dry(task, "default")
    assert project.fingerprint() == before
    assert any("not declared" in attempt or "not the app's declared" in attempt for attempt in seal.attempts)
    assert any("not the app's declared database" in gap for gap in seal.not_covered)


_called: list[str] = []


def _mail(who: str = "") -> None:
    _called.append(who)


@pytest.fixture
def mails() -> Iterator[list[str]]:
    _called.clear()
    yield _called
    _called.clear()


def test_hooks_of_a_commit_are_listed_and_not_called(project: Project, mails: list[str]) -> None:
    """Whether they wait for a commit or would be called at once; a rollback drops its own, as for real."""

    def task() -> None:
        for _ in range(3):
            with transaction.atomic():
                _update([])
                transaction.on_commit(partial(_mail, "ann"))
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: _mail("never"))
            raise ZeroDivisionError
        transaction.on_commit(mails.clear, robust=True)
        with transaction.atomic("reports"):
            transaction.on_commit(_mail, using="reports")

    seal = Databases().seal(("default", "reports"))
    with seal:
        task()
    assert mails == []
    assert [(effect.description, effect.call.rpartition(".")[2]) for effect in seal.effects] == [
        ("after commit on the Django database 'default', 3 times", "_mail"),
        ("after commit on the Django database 'default'", "clear"),
        ("after commit on the Django database 'reports'", "_mail"),
    ]
    with transaction.atomic():
        transaction.on_commit(partial(_mail, "for real"))
    assert mails == ["for real"]


def test_a_connection_from_before_is_closed_at_the_start(project: Project) -> None:
    """One that was opened at import leads past the seal; Django opens another where it is needed."""
    before = project.fingerprint()
    assert Account.objects.count() == 3
    early = connection.connection
    seal = Databases().seal("default")
    with seal:
        _update([])
        assert connection.connection is not early
    assert seal.report().attempts == ()
    assert project.fingerprint() == before
    _update([])
    assert project.fingerprint() != before


def test_no_dry_run_begins_in_a_transaction(project: Project) -> None:
    """What it holds was written before, and could be neither kept nor sealed."""
    with transaction.atomic():
        Account.objects.count()
        with (
            pytest.raises(DryRunUnavailable, match="in the middle of a transaction"),
            Databases().seal("default"),
        ):
            pass
        assert Account.objects.count() == 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"ENGINE": "tests.integration.databases.legacy", "NAME": "shop", "PASSWORD": "hunter2"},
            "legacy.*oracle",
        ),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}, "in memory"),
        ({"ENGINE": "django.db.backends.sqlite3", "NAME": "file:x?mode=memory&cache=shared"}, "in memory"),
    ],
)
def test_an_alias_that_cannot_be_sealed(settings: dict[str, Any], reason: str) -> None:
    """It is refused by name, with the reason and without its password."""
    with named({"default": settings, "legacy": settings}):
        with pytest.raises(DryRunUnavailable, match=reason) as refused:
            Databases().seal("legacy")
        assert "hunter2" not in str(refused.value)


def test_an_alias_that_is_not_there(project: Project) -> None:
    """Those that are there are named."""
    with pytest.raises(DryRunUnavailable, match=r"no alias 'archive'.*default, replica, reports"):
        Databases().seal(("default", "archive"))


def test_a_project_without_databases() -> None:
    """Django's own stand-in for none is nothing to seal."""
    with named({}):
        seal = Databases().seal(("default",))
        with seal:
            pass
        assert seal.reports() == ()


@pytest.mark.parametrize("project", ["postgresql"], indirect=True)
def test_a_pool_of_django(project: Project) -> None:
    """Its connections from before are closed, the task connects directly, and it is there again after."""
    pooled = {**project.aliases["default"], "OPTIONS": {"pool": {"min_size": 1, "timeout": 5}}}
    pools = list[Any]()
    with named({"default": pooled}):
        _update([])
        connection.close()
        before = project.fingerprint()
        seal = Databases().seal("default")
        with seal:
            for _ in range(2):
                _atomic([])
                connection.close()
            pools.append(connection.pool)
        assert seal.report().attempts == ()
        assert project.fingerprint() == before
        _update([])
        pools.append(connection.pool)
        connection.close()
        connection.close_pool()
    assert [pool is None for pool in pools] == [True, False]
