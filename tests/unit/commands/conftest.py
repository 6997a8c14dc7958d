"""A world with one of each kind of task."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from oneoff.app import App
from oneoff.execution.context import Context
from oneoff.tasks.secret import Secret
from oneoff.tasks.task import Task
from oneoff.types import TaskName
from tests.fakes import PRODUCTION, STAGING, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An app with tasks, in a world of fakes."""
    world = World(tmp_path, PRODUCTION, STAGING)
    world.app = app = App("shop", database="a handle", version="1.2")

    @app.task
    def greet(name: str = "you") -> None:
        """Greet somebody."""

    @app.task(confirm="Delete it all?", lock="users", timeout=timedelta(minutes=5))
    def purge(days: int) -> None:
        """Delete what is old."""

    @app.task
    def fail() -> None:
        """Fail."""
        raise ValueError("no luck")

    @app.task
    def login(token: Secret, old: Secret | None = None) -> None:
        """Use a secret."""

    @app.task
    def look(ctx: Context) -> None:
        """Say what the database handle is."""
        ctx.log.info(f"the handle is {ctx.db}")

    app.add(Task(name=TaskName("build"), command=("true",)))
    return world
