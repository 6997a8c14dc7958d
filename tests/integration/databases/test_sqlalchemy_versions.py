"""SQLAlchemy 2.0 beside 2.1, which is in the lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from tests.versions import environ_with


@pytest.mark.timeout(300)
def test_the_same_with_sqlalchemy_2_0() -> None:
    """Every test of SQLAlchemy's styles passes with 2.0 as well."""
    environ = environ_with("sqlalchemy-2.0")
    version = [sys.executable, "-c", "import sqlalchemy; print(sqlalchemy.__version__)"]
    used = subprocess.run(version, env=environ, check=True, capture_output=True, text=True).stdout
    assert used.startswith("2.0.")
    assert sqlalchemy.__version__.startswith("2.1.")
    tests = Path(__file__).with_name("test_sqlalchemy.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", tests],
        env=environ, cwd=Path(__file__).parents[3], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
