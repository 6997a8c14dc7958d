"""A task that is careless with its secret: what oneoff keeps and prints of the run does not hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oneoff.tasks.secret import SECRET_MARK
from tests.cli import Ended, Project

SECRET = 'tr0ub4dor&3\'s "key"'
PLAIN = "tr0ub4dor"
"""Stands in every form of it."""
ADMIN = """
import logging
import os
import sqlite3
import sys

import oneoff


def connect():
    if os.environ.get("DATABASE_FAILS"):
        raise RuntimeError("no entry with " + open("secret").read())
    if os.environ.get("DATABASE_REFUSES"):
        raise oneoff.Refused("no entry with " + open("secret").read(), next_step=open("secret").read())
    url = os.environ.get("DATABASE_URL")
    if url:
        import psycopg

        return psycopg.connect(url)
    return sqlite3.connect("shop.db")


admin = oneoff.App("shop", database=connect)


@admin.task
def leak(ctx: oneoff.Context, password: oneoff.Secret, how: str, key: oneoff.Secret | None = None) -> None:
    text = password.reveal()
    if how == "raise":
        try:
            {}[text]
        except KeyError as error:
            failed = RuntimeError(f"login with {text} failed")
            failed.add_note(f"tried {text!r}")
            raise failed from error
    if how == "group":
        raise ExceptionGroup(f"all of {text}", [ValueError(text), ExceptionGroup("in", [OSError(5, text)])])
    if how == "late":
        raise RuntimeError("x" * 480 + text)
    if how == "key":
        raise RuntimeError(f"cannot read\\n{key.reveal()}")
    if how == "key first":
        raise RuntimeError(f"{key.reveal()} cannot be read")
    if how == "exit":
        sys.exit(f"no entry with {text}")
    if how == "refuse":
        raise oneoff.Refused(f"no entry with {text}", next_step=f"change {text}")
    if how == "log":
        ctx.log.info(f"with {text}", password=text, **{text: [text]})
        ctx.log.info("with %s", text.encode())
        ctx.log.bind(bound=text).warning("bound")
        try:
            raise ValueError(text)
        except ValueError:
            ctx.log.exception("caught")
    if how == "progress":
        ctx.progress(1, 2, f"with {text}")
    if how == "sql":
        cursor = ctx.db().cursor()
        quoted = text.replace("'", "''")
        cursor.execute(f"SELECT '{quoted}'")
        cursor.execute("SELECT '" + "x" * 1985 + quoted + "'")
    if how == "bad sql":
        ctx.db().cursor().execute(f"SELECT {text!r} FROM nowhere")
    if how == "effect":
        ctx.effect(f"mail {text}", print, text)
    if how == "forked":
        if os.fork() == 0:
            raise RuntimeError(f"login with {text} failed")
        os.wait()
    if how == "forked exit":
        if os.fork() == 0:
            sys.exit(f"login with {text} failed")
        os.wait()
    if how == "no store":
        os.remove(".oneoff/store.db")
        raise RuntimeError(f"login with {text} failed")
    if how == "print":
        print(text)
"""
KEY = "-----BEGIN KEY-----\ntr0ub4dorMIIEvQIBADANBg\ntr0ub4dorUdAgGBAKl\n-----END KEY-----"


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """An app with one task, and the secrets in files."""
    project = Project(tmp_path)
    project.write(admin_py=ADMIN, oneoff_toml='app = "admin:admin"\n')
    (tmp_path / "oneoff.toml").write_text('[tool.oneoff]\napp = "admin:admin"\n')
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "shop.db").touch()
    return project


def leak(shop: Project, how: str, *options: str, **environ: str) -> Ended:
    """Run the task, and look through everything that it left and showed."""
    arguments = ("run", "leak", "--password", "@secret", "--key", "@key", "--how", how, *options)
    ended = shop(*arguments, environ=environ)
    assert PLAIN not in ended.out + ended.err
    assert shop.files_with(PLAIN) == []
    assert shop.files_with("leak") != []
    return ended


@pytest.mark.parametrize("how", ["raise", "group", "late", "key", "key first", "exit"])
def test_an_error(shop: Project, how: str) -> None:
    """With its cause, its notes and what it groups; the mark says that something stood there."""
    ended = leak(shop, how)
    latest = shop.latest()
    assert ended.code == 1
    assert how == "key" or SECRET_MARK[:3] in latest["error"]  # the one line ends before the key
    assert how == "exit" or SECRET_MARK in latest["traceback"]
    assert latest["error"] in ended.err
    assert (latest["traceback"] or "") in ended.err


@pytest.mark.parametrize("options", [("-o", "json"), ("--dry-run",)], ids=" ".join)
def test_an_error_in_another_form(shop: Project, options: tuple[str, ...]) -> None:
    """The document on standard output, and a dry run."""
    ended = leak(shop, "raise", *options)
    assert ended.code == 1
    assert SECRET_MARK in (ended.out if "json" in options else ended.err)


def test_what_is_shown_later(shop: Project) -> None:
    """Every reader of the records."""
    leak(shop, "raise")
    for words in (("show", "@latest"), ("audit", "log", "-o", "json"), ("logs", "@latest")):
        ended = shop(*words)
        assert SECRET_MARK in ended.out
        assert PLAIN not in ended.out + ended.err


def test_a_detached_run(shop: Project) -> None:
    """Its log is the output of the other process."""
    assert leak(shop, "raise", "--detach").code in (0, 1)  # it may have ended by now
    assert shop("wait", "@latest").code == 1
    assert shop.files_with(PLAIN) == []
    assert shop.files_with(SECRET_MARK) != []
    assert SECRET_MARK in shop.latest()["error"]


def test_a_refusal_of_the_task(shop: Project) -> None:
    """What it says, and the next step."""
    assert leak(shop, "refuse").code == 3
    assert shop.latest()["error"] == f"no entry with {SECRET_MARK}; change {SECRET_MARK}"


@pytest.mark.parametrize("variable", ["DATABASE_FAILS", "DATABASE_REFUSES"])
def test_a_database_that_cannot_be_opened(shop: Project, variable: str) -> None:
    """A dry run is refused before it starts: in the app's own words, which are masked as well."""
    ended = leak(shop, "sql", "--dry-run", **{variable: "1"})
    assert ended.code == 3
    assert f"no entry with {SECRET_MARK}" in ended.err
    assert f"no entry with {SECRET_MARK}" in shop.latest()["error"]


def test_the_log(shop: Project) -> None:
    """Message, fields, their names, and the exception."""
    ended = leak(shop, "log")
    assert ended.code == 0
    assert ended.err.count(SECRET_MARK) >= 8
    assert shop.files_with(SECRET_MARK) != []


def test_the_progress(shop: Project) -> None:
    """Its message is in the record and in the log."""
    ended = leak(shop, "progress")
    assert f"with {SECRET_MARK}" in ended.err
    assert shop.latest()["progress"]["message"] == f"with {SECRET_MARK}"


def test_a_dry_run_on_sqlite(shop: Project) -> None:
    """The text of a statement may hold literals, and may be cut in the middle of one."""
    ended = leak(shop, "sql", "--dry-run")
    assert ended.code == 0, ended.err
    assert f"SELECT '{SECRET_MARK}'" in ended.out
    (database,) = shop.latest()["dry_run_report"]["databases"]
    assert [statement["sql"][-10:] for statement in database["statements"]] == [
        f"'{SECRET_MARK}'",
        f"x{SECRET_MARK}…",
    ]


def test_a_dry_run_on_postgresql(shop: Project, database_url: str) -> None:
    """The same, and the words of the server."""
    pytest.importorskip("psycopg")
    ended = leak(shop, "sql", "--dry-run", DATABASE_URL=database_url)
    assert ended.code == 0, ended.err
    assert f"SELECT '{SECRET_MARK}'" in ended.out
    ended = leak(shop, "bad sql", "--dry-run", DATABASE_URL=database_url)
    assert ended.code == 1
    assert SECRET_MARK in shop.latest()["traceback"]


def test_an_effect(shop: Project) -> None:
    """Its description is in the log and in the report."""
    ended = leak(shop, "effect", "--dry-run")
    assert f"mail {SECRET_MARK}" in ended.out
    assert f"mail {SECRET_MARK}" in ended.err


@pytest.mark.parametrize("how", ["forked", "forked exit"])
def test_a_child_that_the_task_forked(shop: Project, how: str) -> None:
    """Its last words go the same way."""
    ended = leak(shop, how)
    assert f"login with {SECRET_MARK} failed" in ended.err


def test_an_outcome_that_the_store_does_not_take(shop: Project) -> None:
    """It is printed, and kept where the next command finds it."""
    arguments = ("run", "leak", "--password", "@secret", "--how", "no store")
    ended = shop(*arguments)
    assert ended.code == 7
    assert "ONEOFF-OUTCOME" in ended.out
    assert PLAIN not in ended.out + ended.err
    assert shop.files_with(PLAIN) == []
    assert shop.files_with(f"login with {SECRET_MARK} failed") != []


def test_what_the_task_prints(shop: Project) -> None:
    """It is the task's own, and kept as it is: the documents say so."""
    ended = shop("run", "leak", "--password", "@secret", "--how", "print")
    assert SECRET in ended.out
