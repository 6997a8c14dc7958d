"""The pages of the example."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from flights import load
from flights.db import connect
from flights.models import Base
from flights.web import create_app


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with its tables and nothing in them."""
    new = connect(f"sqlite:///{tmp_path / 'flights.db'}")
    Base.metadata.create_all(new)
    yield new
    new.dispose()


def client(engine: Engine) -> FlaskClient:
    """A browser, more or less."""
    return create_app(engine).test_client()


def test_the_page_of_an_empty_app_says_how_to_load(engine: Engine) -> None:
    """Nobody is left before an empty table without a word."""
    assert "python -m flights.load" in client(engine).get("/").text


def test_page_and_json_show_the_same_routes_and_airlines(engine: Engine) -> None:
    """The busiest come first, on the page and as JSON."""
    load.load(engine, limit=1_000)
    browser = client(engine)
    [route] = browser.get("/api/routes?limit=1").get_json()
    carriers = browser.get("/api/carriers").get_json()
    page = browser.get("/").text
    assert f"<td>{route['origin']}</td><td>{route['destination']}</td>" in page
    assert carriers == sorted(carriers, key=lambda carrier: -carrier["flights"])
    assert sum(carrier["flights"] for carrier in carriers) == 1_000
    assert all(carrier["name"] in page for carrier in carriers)


@pytest.mark.parametrize("limit", ["0", "-5", "many", "999999999999"])
def test_a_limit_that_makes_no_sense_is_put_right(engine: Engine, limit: str) -> None:
    """A request is answered, never an error of the database."""
    load.load(engine, limit=10)
    answer = client(engine).get(f"/api/routes?limit={limit}")
    assert answer.status_code == 200
    assert answer.get_json()


def test_it_is_ready_when_its_database_answers(engine: Engine) -> None:
    """Also before there is any data: whoever loads it needs an app that has settled."""
    Base.metadata.drop_all(engine)
    assert client(engine).get("/ready").status_code == 200
