"""ctx.log: what it writes, for whom, and that nothing makes it raise."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.execution.log import RunLogger, presentable
from oneoff.tasks.masking import Mask
from oneoff.tasks.secret import SECRET_MARK
from oneoff.types import RunId, TaskName

NOON = datetime(2026, 3, 1, 12, 3, 4, tzinfo=UTC)


class Masked:
    """Hides its value as a secret does."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__


class MaskedText(str):
    """A secret that is a string by type."""

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__


class Hostile:
    """Cannot be shown in any way."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class HostileMapping(dict[str, int]):
    """Looks like a dict and is none."""

    def items(self) -> Any:
        raise RuntimeError("no")


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@pytest.fixture
def out() -> io.StringIO:
    """Where the lines go."""
    return io.StringIO()


@pytest.fixture
def logger(out: io.StringIO) -> Callable[..., RunLogger]:
    """Makes loggers for one stream."""

    def make(*, as_text: bool = False) -> RunLogger:
        return RunLogger(
            run_id=RunId("r1"), task=TaskName("purge"), as_text=as_text, stream=out, now=lambda: NOON
        )

    return make


def documents(out: io.StringIO) -> list[dict[str, Any]]:
    """The JSON lines."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_json_line(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """Elsewhere than on a terminal a line is one JSON object."""
    logger().info("deleting", before=date(2013, 2, 1), rows=3)
    assert out.getvalue() == (
        '{"time":"2026-03-01T12:03:04.000000Z","level":"info","message":"deleting",'
        '"run_id":"r1","task":"purge","before":"2013-02-01","rows":3}\n'
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_the_secrets_of_the_run(as_text: bool, out: io.StringIO) -> None:
    """In the message, its arguments, the fields at any depth, their names, and the exception."""
    log = RunLogger(
        run_id=RunId("r1"), task=TaskName("t"), as_text=as_text, stream=out, mask=Mask(["hunter2", "8675309"])
    ).bind(bound="hunter2")
    log.info("as hunter2 or %s", "hunter2", deep={"hunter2": ["hunter2", 8675309]}, hunter2=1, pin=8675309)
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("caught")
    assert "hunter2" not in out.getvalue()
    assert "8675309" not in out.getvalue()
    assert out.getvalue().count(SECRET_MARK) >= 10
    if not as_text:
        assert documents(out)[1]["error"] == f"ValueError: {SECRET_MARK}"


def test_a_text_line(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """On a terminal: the local time, the words, the fields; the level where it is not the usual one."""
    log = logger(as_text=True)
    log.info("deleting", before=date(2013, 2, 1))
    log.warning("slow", query="select 1", empty="", parts=[1, "two"])
    local = f"{NOON.astimezone():%H:%M:%S}"
    assert out.getvalue().splitlines() == [
        f"{local} deleting before=2013-02-01",
        f'{local} WARNING slow query="select 1" empty="" parts=[1,"two"]',
    ]


def test_every_level(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """The levels of the standard library, by the same names."""
    log = logger()
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)("x")
    assert [line["level"] for line in documents(out)] == ["debug", "info", "warning", "error"]


def test_bound_fields(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """A bound logger adds its fields; the one it came from stays as it was; the nearest value wins."""
    log = logger()
    bound = log.bind(carrier="AA", shard=1)
    bound.info("x", shard=2)
    log.info("y")
    first, second = documents(out)
    assert (first["carrier"], first["shard"]) == ("AA", 2)
    assert "carrier" not in second


def test_arguments_by_percent(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """People used to the standard library are at home, and a wrong format loses nothing."""
    log = logger()
    log.info("%s of %d", "AA", 3)
    log.info("%(who)s", {"who": "me"})
    log.info("100% yes", 5)
    log.info("%d", "many")
    log.info("100%")
    assert [line["message"] for line in documents(out)] == ["AA of 3", "me", "100% yes 5", "%d many", "100%"]


def test_a_field_cannot_pose_as_one_of_ours(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """A field named as one of the line's own is kept under another name."""
    logger().info("x", message="forged", level="debug", run_id="r2", self="fine")
    (line,) = documents(out)
    assert (line["message"], line["level"], line["run_id"]) == ("x", "info", "r1")
    assert (line["message_"], line["level_"], line["run_id_"], line["self"]) == (
        "forged",
        "debug",
        "r2",
        "fine",
    )


@pytest.mark.parametrize("as_text", [True, False])
def test_nobody_forges_lines(logger: Callable[..., RunLogger], out: io.StringIO, as_text: bool) -> None:
    """New lines and terminal escapes are escaped, in messages, names and values."""
    logger(as_text=as_text).info("a\nb", **{"k\nk": "v\n\x1b[2J\u2028w", "n": {"x\r": "\x9b"}})
    assert len(out.getvalue().splitlines()) == 1
    assert not any(char in out.getvalue() for char in "\x1b\r\u2028\x9b")


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("secret", [Masked("hunter2"), MaskedText("hunter2")])
def test_secrets_are_masked(
    logger: Callable[..., RunLogger], out: io.StringIO, as_text: bool, secret: object
) -> None:
    """Wherever a secret hides: message, argument, field, or deep inside one."""
    log = logger(as_text=as_text)
    log.info(secret)
    log.info("%s %r", secret, secret)
    log.info("x", token=secret, deep={"list": [secret, (secret,)], "far": [[[[[[[[secret]]]]]]]]})
    assert "hunter2" not in out.getvalue()
    assert "***" in out.getvalue()


@pytest.mark.parametrize("as_text", [True, False])
def test_no_value_makes_it_raise(logger: Callable[..., RunLogger], out: io.StringIO, as_text: bool) -> None:
    """What cannot be shown is named by its type, and the rest of the line is still there."""
    cyclic: list[object] = []
    cyclic.append(cyclic)
    values: dict[str, object] = {
        "hostile": Hostile(),
        "mapping": HostileMapping(a=1),
        "cyclic": cyclic,
        "surrogate": "\ud800",
        "huge": 10**5000,
        "nan": float("nan"),
        "bytes": b"\xff",
        "keys": {Hostile(): 1, None: 2},
        "kind": Hostile,
    }
    log = logger(as_text=as_text)
    log.info("still here", **values)
    log.info(Hostile())
    log.info("%s", Hostile())
    text = out.getvalue()
    assert len(text.splitlines()) == 3
    assert "still here" in text
    assert "Hostile that cannot be shown" in text


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.floats() | st.text() | st.binary(), st.lists, max_leaves=5)
    )
)
def test_any_fields_make_one_valid_line(fields: dict[str, Any]) -> None:
    """RFC 8259 JSON (no NaN), one line, encodable."""
    out = io.StringIO()
    RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=False, stream=out).info("x", **fields)
    line = out.getvalue()
    assert line.count("\n") == len(line.splitlines()) == 1
    json.loads(line.encode(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (2**300, str(2**300)),
        (NOON, "2026-03-01T12:03:04.000000Z"),
        (datetime(2026, 3, 1), "2026-03-01T00:00:00"),
        (timedelta(days=1), "1 day, 0:00:00"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
        ({1: (2, [3])}, {"1": [2, [3]]}),
        (b"ab", "b'ab'"),
    ],
)
def test_values_as_json(value: object, shown: object) -> None:
    """Numbers stay numbers as far as JSON can hold them; the rest is text."""
    assert presentable(value) == shown


@pytest.mark.parametrize("as_text", [True, False])
def test_an_exception_brings_its_traceback(
    logger: Callable[..., RunLogger], out: io.StringIO, as_text: bool
) -> None:
    """`exception`, `exc_info=True` and an exception given by hand all show where it came from."""
    log = logger(as_text=as_text)
    try:
        raise ValueError("bad\nluck")
    except ValueError as error:
        caught = error
        log.exception("failed")
        log.warning("odd", exc_info=True)
    log.error("later", exc_info=caught)
    log.error("none", exc_info=True)
    assert out.getvalue().count("Traceback (most recent call last)") == 3
    assert out.getvalue().count("test_log.py") == 3
    if not as_text:
        assert [line.get("error") for line in documents(out)] == ["ValueError: bad\nluck"] * 3 + [None]


def test_a_stream_that_is_gone_is_no_error(logger: Callable[..., RunLogger], out: io.StringIO) -> None:
    """The task closed stderr, or never had one: it goes on."""
    out.close()
    logger().info("x")


def test_an_encoding_that_lacks_a_character_escapes_it() -> None:
    """An old terminal gets the rest of the line."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=True, stream=stream).info("zł né")
    assert raw.getvalue().endswith(rb" z\u0142 n" + b"\xe9\n")


def test_stderr_is_looked_up_when_it_is_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that was put in stderr's place later (a test's, a tee's) gets the lines."""
    log = RunLogger(run_id=RunId("r1"), task=TaskName("t"), as_text=True)
    log.info("one")
    assert capsys.readouterr().err.endswith(" one\n")
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr", other)
    log.info("two")
    assert other.getvalue().endswith(" two\n")
    monkeypatch.setattr(sys, "stderr", None)
    log.info("three")
