"""A dry run holds the app's connections, and lets oneoff's own to its records go on writing."""

from __future__ import annotations

import psycopg
import pytest

from oneoff.databases.handles import Databases
from oneoff.errors import DryRunUnavailable
from oneoff.stores.postgres import PostgresStore
from tests.postgres import Server, database_of
from tests.records import begin, finish, make_run

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'oneoff'"


def test_records_are_written_while_the_same_database_is_sealed(postgres: Server, store_url: str) -> None:
    """By a connection that was open before, and by one that is made again in the middle."""
    postgres.execute(
        "CREATE TABLE thing (id int)", "GRANT ALL ON thing TO shop", database=database_of(store_url)
    )
    store = PostgresStore.open(store_url)
    run = begin(store, make_run())
    with Databases().seal(store_url) as seal:
        with psycopg.connect(store_url) as connection:
            connection.execute("INSERT INTO thing VALUES (1)")
        postgres.psql(TERMINATE, database_of(store_url))  # in another process: this one is sealed
        store.beat(run.id, 1, run.requested_at, None)
        finish(store, run)
    assert store.checkpoint().size == 3
    assert [(table.table, table.inserted) for table in seal.report().tables] == [("thing", 1)]
    assert postgres.execute("SELECT * FROM thing", database=database_of(store_url)) == []
    assert seal.report().attempts == ()
    store.close()


def test_another_open_connection_is_still_found(store_url: str) -> None:
    """Only the store's own class of connection is passed over."""
    store = PostgresStore.open(store_url)
    with psycopg.connect(store_url), pytest.raises(DryRunUnavailable, match="was opened before"):
        Databases().seal(store_url).__enter__()
    store.close()
