"""A sealed PostgreSQL by itself, without the guard around it. Each way to persist: tests/acceptance/leaks."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import psycopg

from oneoff.errors import DryRunStopped
from tests.integration.databases.postgres_shop import WRITE, Shop, dry


def _autocommit(shop: Shop) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute(WRITE)


def test_psql_in_a_child_process_cannot_write(shop: Shop) -> None:
    """The guard around a dry run lets none start. One that starts all the same inherits PGOPTIONS."""
    results: list[subprocess.CompletedProcess[str]] = []

    def task(shop: Shop) -> None:
        command: list[Any] = [shop.server.binaries / "psql", "-X", "-d", shop.url, "-c", WRITE]
        results.append(subprocess.run(command, capture_output=True, text=True, check=False))

    before = shop.fingerprint()
    dry(shop, task)
    assert shop.fingerprint() == before
    assert "read-only transaction" in results[0].stderr


def test_a_forked_child_cannot_use_the_sealed_session(shop: Shop) -> None:
    """The guard around a dry run lets none be forked. One that C code forks all the same is refused on its
    parent's connection, and read-only on one of its own."""

    def task(shop: Shop) -> None:
        connection = shop.connect()
        connection.execute("SELECT 1")
        child = os.fork()
        if child == 0:
            status = 0
            for write in (lambda: connection.execute(WRITE), lambda: _autocommit(shop)):
                try:
                    write()
                    status = 1
                except (DryRunStopped, psycopg.Error):
                    pass
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        connection.execute(WRITE)

    before = shop.fingerprint()
    report = dry(shop, task)
    assert shop.fingerprint() == before
    assert [table.updated for table in report.tables] == [20]


def test_another_database_is_read_only_and_named(shop: Shop) -> None:
    """A database that the app did not declare can be read; a write to it is an attempt, even if swallowed."""
    with shop.server.database() as other:
        shop.server.execute("CREATE TABLE t (id int)", database=other)

        def task(shop: Shop) -> None:
            with psycopg.connect(shop.server.url(other)) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
                try:
                    connection.execute("INSERT INTO t VALUES (1)")
                except psycopg.Error:
                    connection.rollback()

        report = dry(shop, task)
        assert shop.server.execute("SELECT count(*) FROM t", database=other) == [(0,)]
    assert any(other in gap for gap in report.not_covered)
    assert any(other in attempt for attempt in report.attempts)
