"""Events: their exact bytes, what they hold, and that they always fit."""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oneoff.audit import event as events
from oneoff.audit.event import Event
from oneoff.runs.run import Actor, Outcome, Release
from oneoff.runs.status import Status
from tests.records import ANN, OBSERVER, START, later, make_run

any_text = st.text(st.characters(codec=None))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


def body_of(event: Event) -> dict[str, Any]:
    envelope = json.loads(events.encode(event))
    assert isinstance(envelope, dict)
    return envelope


def test_exact_bytes() -> None:
    """The bytes of an event never change between versions: they are hashed, and kept for years."""
    run = make_run(parameters={"older_than": 90, "name": "Größe", "rate": 0.5}, reason="ticket 7")
    event = Event(
        id="e1", type="requested", time=START, source="/oneoff/shop", run_id=run.id,
        data=events.requested(run, OBSERVER, START).data,
    )  # fmt: skip
    assert events.encode(event).decode() == (
        '{"data":{"action":"run","confirmation":null,"ended_at":null,'
        '"initiator":{"claims":{},"kind":"human","subject":"5f3759df"},"observer":{"host":"laptop","pid":4711},'
        '"parameters":{"name":"Größe","older_than":90,"rate":"0.5"},"reason":"ticket 7",'
        '"release":{"code":null,"commit":null,"oneoff":"0.1.0","version":"1.2"},'
        '"requested_at":"2026-03-01T12:00:00.000000Z","rerun_of":null,"started_at":null,'
        '"target":{"command":null,"dry_run":false,"environment":"local","protected":false,"task":"purge"}},'
        '"datacontenttype":"application/json","id":"e1","source":"/oneoff/shop","specversion":"1.0",'
        '"subject":"r1","time":"2026-03-01T12:00:00.000000Z","type":"dev.oneoff.audit.run.requested.v1"}'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        (2**53 - 1, b"9007199254740991"),
        (2**53, b'"9007199254740992"'),
        (-(2**53), b'"-9007199254740992"'),
        (1.0, b'"1.0"'),
        (float("nan"), b'"nan"'),
        ("\x00\x08\t\n\x0c\r\x1f\"\\\x7f", b'"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\\x7f"'),
        ("ö\u2028😀", '"ö\u2028😀"'.encode()),
        ("broken \udcff", b'"broken \\\\udcff"'),
        ({"größe": 1}, b'{"gr\\\\xf6\\\\xdfe":1}'),
        ({"a\\b": 1}, b'{"a\\\\\\\\b":1}'),
    ],
)  # fmt: skip
def test_profile(value: Any, expected: bytes) -> None:
    """Floats and large integers become text, keys ASCII; all else is as RFC 8785 §3.2 prints it."""
    assert events.canonical(value) == expected


@given(any_json)
def test_canonical_is_stable(value: Any) -> None:
    """Whatever JSON comes in, the bytes are UTF-8 JSON without floats, and reading loses nothing more."""
    body = events.canonical(value)

    def no_float(text: str) -> float:
        raise AssertionError(f"a float: {text}")

    again = json.loads(body, parse_float=no_float, parse_constant=no_float)
    assert json.dumps(again, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == body


@given(st.dictionaries(any_text, st.integers(), max_size=6))
def test_no_two_keys_become_one(value: dict[str, int]) -> None:
    """Escaping keys to ASCII keeps all of them apart."""
    assert len(json.loads(events.canonical(value))) == len(value)


def test_a_large_parameter_is_recorded_by_digest() -> None:
    """A parameter over 4 KiB of JSON is its SHA-256 and length; the others stay readable."""
    large = "x" * 1_000_000
    run = make_run(parameters={"text": large, "small": 1, "edge": "y" * (events.VALUE_LIMIT - 2)})
    parameters = body_of(events.requested(run, OBSERVER, START))["data"]["parameters"]
    digest = sha256(f'"{large}"'.encode()).hexdigest()
    assert parameters["text"] == {"sha256": digest, "bytes": 1_000_002}
    assert parameters["small"] == 1
    assert parameters["edge"] == "y" * (events.VALUE_LIMIT - 2)


def test_too_many_parameters_are_recorded_by_one_digest() -> None:
    """Where the event would not fit, one digest stands for all parameters."""
    run = make_run(parameters={f"p{number}": "x" * 4000 for number in range(30)})
    parameters = body_of(events.requested(run, OBSERVER, START))["data"]["parameters"]
    assert parameters == {
        "sha256": sha256(events.canonical(run.parameters)).hexdigest(),
        "bytes": len(events.canonical(run.parameters)),
    }


NOT_TEXT = ("status", "measured", "tables")


@settings(max_examples=30, deadline=None)
@given(short=st.text(st.characters(codec=None), max_size=6), times=st.sampled_from([1, 3000]))
@example(short="\x00\udcff😀", times=3000)
def test_every_event_fits(short: str, times: int) -> None:
    """Whatever a run holds, each of its events fits into 65,535 bytes and keeps its index columns."""
    text, count = short * times, times
    run = make_run(
        task=text,
        environment=text,
        actor=Actor(kind=text, name=text, subject=text),
        release=Release(version=text, commit=text, code=text, oneoff=text),
        parameters={f"{text[:50]}{number}": text for number in range(min(count, 40))},
        reason=text,
        confirmation=text,
        command=(text,) * min(count, 100),
        status=Status.FAILED,
        outcome=Outcome(
            status=Status.FAILED,
            error=text,
            rows={f"table {number}": {"deleted": 1} for number in range(count)},
        ),
    )
    for made in (
        events.requested(run, OBSERVER, START),
        events.refused(run, OBSERVER, START),
        events.starting(run, OBSERVER, START),
        events.outcome(run, OBSERVER, START, recovered=True, evidence=text),
        events.cancelled(run, OBSERVER, START, by=run.actor),
    ):
        body = events.encode(made)
        assert len(body) <= events.EVENT_LIMIT
        columns = events.columns(events.decode(body))
        assert all(isinstance(value, str) for name, value in columns.items() if name not in NOT_TEXT)


def test_a_long_error_is_cut_and_says_so() -> None:
    """A long text keeps its beginning, and names its whole length."""
    ending = Outcome(status=Status.FAILED, error="boom " * 10_000)
    run = make_run(status=Status.FAILED, outcome=ending)
    error = body_of(events.outcome(run, OBSERVER, START))["data"]["outcome"]["error"]
    assert error.startswith("boom boom")
    assert error.endswith("… (50000 characters in all)")
    assert len(error) > 1000


def test_outcome() -> None:
    """An outcome tells status, code, error, time and rows; what was not measured says so."""
    ending = Outcome(status=Status.FAILED, exit_code=3, error="boom", traceback="secret", duration_ms=12)
    run = make_run(started_at=later(1)).to(Status.RUNNING).ended(ending, later(2))
    data = body_of(events.outcome(run, OBSERVER, later(2)))["data"]
    assert data["outcome"] == {
        "status": "failed",
        "exit_code": 3,
        "error": "boom",
        "duration_ms": 12,
        "rows": "not measured",
        "recovered": False,
        "evidence": None,
    }
    assert (data["started_at"], data["ended_at"]) == (
        "2026-03-01T12:00:01.000000Z",
        "2026-03-01T12:00:02.000000Z",
    )


def test_cancelled_names_who_cancelled() -> None:
    """The initiator of a cancellation is whoever asked for it, not whoever started the run."""
    bob = Actor(kind="human", name="bob", subject="b0b")
    data = body_of(
        events.cancelled(make_run(), OBSERVER, START, by=bob, force=True, reason="it is in the way")
    )["data"]
    assert data["action"] == "cancel"
    assert data["initiator"] == {"kind": "human", "subject": "b0b", "claims": {}}
    assert data["request"] == {"force": True, "reason": "it is in the way"}


def test_no_name_in_the_hashed_bytes() -> None:
    """A person's name and claims stay outside, so that they can be erased."""
    actor = Actor(
        kind="ci",
        name="Ann Example",
        subject="5f37",
        claims={"GITHUB_ACTOR": "ann-example"},
        opaque_claims={"GITHUB_ACTOR": "0c70"},
    )
    body = events.encode(events.requested(make_run(actor=actor), OBSERVER, START))
    assert b"xample" not in body
    assert b"5f37" in body
    assert b"0c70" in body


def test_columns() -> None:
    """The index columns are derived from the body alone."""
    event = events.starting(make_run(actor=ANN), OBSERVER, START)
    assert events.columns(events.decode(events.encode(event))) == {
        "id": event.id,
        "type": "starting",
        "run_id": "r1",
        "actor": "5f3759df",
        "task": "purge",
        "environment": "local",
        "time": "2026-03-01T12:00:00.000000Z",
        "status": None,
        "measured": None,
        "tables": [],
    }


@pytest.mark.parametrize(
    ("rows", "measured", "tables"),
    [
        (None, False, []),
        ({}, True, []),
        ({"b": {"deleted": 2}, "a": {"inserted": 1}}, True, ["a", "b"]),
        ({f"table {number:03}": {"deleted": 1} for number in range(500)}, True, 500),
        ({f"table {number}": {"deleted": 1} for number in range(5_000)}, True, []),
    ],
)
def test_columns_of_an_outcome(rows: Any, measured: bool, tables: list[str] | int) -> None:
    """The tables are known by name even where there are too many for their counts, up to a limit."""
    run = make_run(status=Status.FAILED, outcome=Outcome(status=Status.FAILED, rows=rows))
    found = events.columns(events.decode(events.encode(events.outcome(run, OBSERVER, START))))
    assert (found["status"], found["measured"]) == ("failed", measured)
    assert isinstance(found["tables"], list)
    assert tables in (found["tables"], len(found["tables"]))


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"{}", b'{"data":1}', b"not json"])
def test_what_is_no_event(body: bytes) -> None:
    """Bytes that are no event are refused with a ValueError, whatever they are."""
    with pytest.raises(ValueError):
        events.decode(body)


def test_ids_are_random() -> None:
    """Two events never share an id."""
    assert len({events.new_event_id() for _ in range(1000)}) == 1000


def test_source_is_a_uri_reference() -> None:
    """An app's name in any script makes a legal CloudEvents source."""
    assert events.source_of("größe/ x") == "/oneoff/gr%C3%B6%C3%9Fe%2F%20x"


def test_an_event_made_by_hand_is_not_cut_silently() -> None:
    """What no builder would make, and does not fit, is an error."""
    event = Event(type="requested", time=START, source="/oneoff/shop", data={"text": "x" * 70_000})
    with pytest.raises(ValueError, match="does not fit"):
        events.encode(event)


def test_ids_begin_with_the_time() -> None:
    """An id is made of the time and of chance: a later one stands behind, and none is twice."""
    before = time.time_ns() // 1_000_000
    made = [events.new_event_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert all(before <= int(each[:12], 16) <= after for each in made)
    assert {len(each) for each in made} == {32}
    assert len({each[12:] for each in made}) == 1000


@given(any_json)
def test_what_stands_beside_the_bytes_is_theirs(value: Any) -> None:
    """What a store writes beside an event is what verification derives from its bytes."""
    data = {"initiator": value, "target": {"task": value}, "outcome": {"status": value, "rows": value}}
    event = Event(type="log.queried", time=START, source="/oneoff", data=data)
    body, beside = events.written(event)
    assert (body, beside) == (events.encode(event), events.beside(events.decode(body)))
