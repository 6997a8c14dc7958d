"""The record of a run without the store shows that it was changed."""

from __future__ import annotations

import pytest

from oneoff.audit import event as events
from oneoff.audit.merkle import Frontier
from oneoff.audit.sublog import SubLog, line, parse
from oneoff.runs.run import Actor
from tests.records import OBSERVER, START, make_run, note


def record() -> list[bytes]:
    """Three lines."""
    lines, frontier = [], Frontier()
    for number in range(3):
        run = make_run(f"r{number}", reason="größe \udcff", timeout_seconds=0.5)
        text, frontier = line(frontier, note(run), run)
        lines.append(text)
    return lines


def test_read_again() -> None:
    """Everything comes back, in order; the event in the name of whom the store knows."""
    found = parse(b"".join(record()))
    assert [entry["run"]["id"] for entry in found.entries] == ["r0", "r1", "r2"]
    assert found.frontier.size == 3
    ann = Actor(kind="human", name="ann", subject="new")
    again = events.from_json(found.entries[0]["event"], ann)
    assert (again.time, again.run_id, again.type) == (START, "r0", "requested")
    assert again.data["initiator"] == {"kind": "human", "subject": "new", "claims": {}}
    assert again.data["observer"] == {"host": OBSERVER.host, "pid": OBSERVER.pid}


def test_what_was_torn() -> None:
    """An empty file and a last line without its end count for nothing."""
    lines = record()
    assert parse(b"") == SubLog()
    assert len(parse(b"".join(lines)[:-1]).entries) == 2
    assert parse(lines[0][:10]) == SubLog()


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0].replace(b"laptop", b"laptap"), *lines[1:]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], b"not JSON\n", *lines[1:]],
        lambda lines: [b"[]\n", *lines],
        lambda lines: [b'{"entry": 1, "size": 1, "root": ""}\n'],
    ],
)  # fmt: skip
def test_what_was_changed(change) -> None:  # type: ignore[no-untyped-def]
    """A line that was edited, moved, left out or put in."""
    with pytest.raises(ValueError, match="line"):
        parse(b"".join(change(record())))
