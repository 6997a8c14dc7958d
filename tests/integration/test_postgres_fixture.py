"""The PostgreSQL of the tests."""

from __future__ import annotations

import psycopg

from tests.postgres import Server


def test_each_test_has_a_database_of_its_own(postgres: Server, database_url: str) -> None:
    """What one test writes is not there in a database that is made after it."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    with postgres.database() as other, psycopg.connect(postgres.url(other)) as connection:
        found = connection.execute("SELECT to_regclass('mine')").fetchone()
    assert found == (None,)
