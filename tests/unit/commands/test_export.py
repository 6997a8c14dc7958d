"""Exports: exact events, events for a SIEM, and folders of tiles, each of them recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from oneoff.audit.event import StoredEvent, of_log, short_type
from oneoff.audit.merkle import leaf_hash
from oneoff.commands.export import Wish, Written, export_lines, export_tiles
from oneoff.commands.run import run
from oneoff.errors import EvidenceUnfit, StoreCorrupted, StoreUnavailable
from oneoff.runs.status import Status
from tests import tiled
from tests.fakes import World
from tests.records import ANN, OBSERVER, ROWS, START, begin, finish, make_run


def lines(world: World, **wish: Any) -> list[dict[str, Any]]:
    found: list[bytes] = []
    export_lines(world.services, Wish(**wish), found.append)
    return [json.loads(line) for line in found]


def fill(world: World, size: int) -> None:
    """Events until the log has that many."""
    for _ in range(size - world.store.checkpoint().size):
        world.store.record(of_log("queried", ANN, OBSERVER, START, filters={}))


@pytest.fixture
def recorded(world: World) -> World:
    """A run that changed rows, one that was refused, one that is lost."""
    finish(world.store, begin(world.store, make_run("good")))
    finish(world.store, begin(world.store, make_run("bad")), Status.FAILED)
    finish(world.store, begin(world.store, make_run("gone")), Status.LOST, evidence="no process")
    return world


def test_the_exact_bytes_are_in_a_line(recorded: World) -> None:
    """Whoever has the line computes the leaf from it, without making the JSON again."""
    found: list[bytes] = []
    export_lines(recorded.services, Wish(), found.append)
    assert len(found) == 9
    for line in found:
        body = line.partition(b'"event":')[2].removesuffix(b"}\n")
        assert sha256(b"\x00" + body).hexdigest() == json.loads(line)["leaf"]


def test_an_export_is_recorded(recorded: World) -> None:
    """Who, what, how much; and it is in no export before the next."""
    found = lines(recorded, since=START, until=START + timedelta(seconds=2), names=True)
    assert len(found) == 6
    event = recorded.bodies()[-1]
    assert short_type(event["type"]) == "log.exported"
    about = {name: event["data"][name] for name in ("format", "since", "until", "names", "count", "complete")}
    assert about == {
        "format": "jsonl",
        "since": "2026-03-01T12:00:00.000000Z",
        "until": "2026-03-01T12:00:02.000000Z",
        "names": True,
        "count": 6,
        "complete": True,
    }
    assert event["data"]["initiator"]["subject"] == ANN.subject


def test_an_export_that_breaks_off_is_recorded(recorded: World) -> None:
    """What was given out by then was given out."""

    def write(line: bytes) -> None:
        if b'"seq":3' in line:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        export_lines(recorded.services, Wish(), write)
    data = recorded.bodies()[-1]["data"]
    assert (data["count"], data["complete"]) == (3, False)


def test_where_nothing_can_be_recorded(recorded: World) -> None:
    """The export is made, and that it is not recorded is said."""
    services = replace(recorded.services, only_reads=True, unwritable=StoreUnavailable("read only"))
    written = export_lines(services, Wish(), lambda line: None)
    assert written == Written(count=9, complete=True)
    assert any("does not say" in said for said in recorded.said)
    assert recorded.store.checkpoint().size == 9


def test_names_only_where_they_are_wanted(world: World) -> None:
    """Else the export holds the opaque subject alone."""
    subject = world.store.subject(replace(ANN, name="ann-chovy"))
    world.services = replace(world.services, actor=replace(ANN, name="ann-chovy", subject=subject))
    run(world.services, world.wish("greet"))
    for form in ("jsonl", "ocsf", "ecs"):
        assert "ann-chovy" not in json.dumps(lines(world, form=form))
    assert lines(world, names=True)[0]["actor"] == "ann-chovy"
    assert lines(world, form="ocsf", names=True)[0]["actor"]["user"]["name"] == "ann-chovy"
    assert lines(world, form="ecs", names=True)[0]["user"]["name"] == "ann-chovy"


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"data":{}}', b'{"data":{"initiator":1},"time":"x"}'])
@pytest.mark.parametrize(
    "wish", [Wish(form="ocsf"), Wish(form="ecs", since=START), Wish(form="ocsf", names=True)]
)
def test_what_is_no_event(recorded: World, monkeypatch: pytest.MonkeyPatch, body: bytes, wish: Wish) -> None:
    """Its place is named; nothing that follows it is passed off as the whole."""
    forged = StoredEvent(seq=0, body=body, hashes=leaf_hash(body), beside=())
    for event in (forged, replace(forged, body=b"changed")):
        monkeypatch.setattr(recorded.store, "events", lambda event=event, **_: iter([event]))
        with pytest.raises(StoreCorrupted, match="event 0 "):
            export_lines(recorded.services, wish, lambda line: None)


class TestOcsf:
    """Class 6003 of version 1.6.0."""

    REQUIRED = (
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    )

    def test_what_the_class_requires(self, recorded: World) -> None:
        """Every event has it, also one of a type that this version does not know."""
        recorded.store.record(of_log("frobbed", ANN, OBSERVER, START))
        for event in lines(recorded, form="ocsf"):
            assert all(name in event for name in self.REQUIRED)
            assert (event["class_uid"], event["category_uid"]) == (6003, 6)
            assert event["type_uid"] == 600300 + event["activity_id"]
            assert event["metadata"]["version"] == "1.6.0"
            assert event["metadata"]["product"]["name"] == "oneoff"
            assert event["actor"]["user"]["uid"] == ANN.subject
            assert event["src_endpoint"]["hostname"] == OBSERVER.host
            assert event["api"]["operation"]

    def test_an_outcome(self, recorded: World) -> None:
        """Status, times in milliseconds, and the tables whose rows changed."""
        event = lines(recorded, form="ocsf")[2]
        assert (event["status"], event["status_id"], event["status_code"]) == ("Success", 1, "succeeded")
        assert event["time"] == 1772366402000
        assert (event["start_time"], event["end_time"], event["duration"]) == (
            1772366401000,
            1772366402000,
            12,
        )
        assert {"type": "table", "name": "flights"} in event["resources"]
        assert {"type": "task", "name": "purge"} in event["resources"]
        assert event["unmapped"]["data"]["outcome"]["rows"] == ROWS
        assert event["metadata"]["correlation_uid"] == "good"
        assert event["metadata"]["sequence"] == 2

    def test_statuses(self, recorded: World) -> None:
        """Failed is a failure, lost is unknown, and what has no outcome is done."""
        assert [event["status_id"] for event in lines(recorded, form="ocsf")] == [1, 1, 1, 1, 1, 2, 1, 1, 0]


class TestEcs:
    """Version 8.17.0."""

    def test_an_outcome(self, recorded: World) -> None:
        """The fields that a search in a SIEM begins with."""
        event = lines(recorded, form="ecs")[2]
        assert event["@timestamp"] == "2026-03-01T12:00:02.000000Z"
        assert event["ecs"] == {"version": "8.17.0"}
        assert event["event"]["action"] == "run.outcome"
        assert (event["event"]["category"], event["event"]["type"]) == (["process"], ["end"])
        assert (event["event"]["outcome"], event["event"]["duration"]) == ("success", 12_000_000)
        assert event["user"] == {"id": ANN.subject}
        assert event["host"]["hostname"] == OBSERVER.host
        assert event["process"] == {"pid": OBSERVER.pid, "exit_code": 0}
        assert event["service"]["name"] == "shop"
        assert event["labels"]["run"] == "good"
        assert event["oneoff"]["data"]["outcome"]["rows"] == ROWS

    def test_allowed_values(self, recorded: World) -> None:
        """Of the fields whose values ECS fixes; labels are text."""
        recorded.store.record(of_log("frobbed", ANN, OBSERVER, START))
        lines(recorded)
        for event in lines(recorded, form="ecs"):
            assert set(event["event"]["category"]) <= {"process", "database", "configuration"}
            assert set(event["event"]["type"]) <= {"start", "end", "info", "access", "change"}
            assert event["event"]["outcome"] in {"success", "failure", "unknown"}
            assert all(isinstance(value, str) for value in event["labels"].values())


class TestTiles:
    """A folder of static files, read by a client of its own."""

    @pytest.mark.parametrize("size", [1, 9, 255, 256, 257, 513])
    def test_another_reader_finds_the_log(self, recorded: World, tmp_path: Path, size: int) -> None:
        """Every hash is computed again from the events alone."""
        fill(recorded, size)
        size = recorded.store.checkpoint().size
        written = export_tiles(recorded.services, tmp_path / "tiles")
        assert written == Written(count=size, complete=True)
        assert tiled.read(tmp_path / "tiles") == [event.body for event in recorded.store.events()][:size]

    def test_it_goes_on(self, recorded: World, tmp_path: Path) -> None:
        """What is full is not written again; its partial forms go; every state can be read."""
        folder = tmp_path / "tiles"
        inodes = set()
        for size in (300, 400, 600, 700):
            fill(recorded, size)
            export_tiles(recorded.services, folder)
            assert len(tiled.read(folder)) == size
            inodes.add((folder / "tile" / "0" / "000").stat().st_ino)
        assert len(inodes) == 1
        assert not (folder / "tile" / "entries" / "001.p").exists()
        assert not list(folder.rglob("*.unfinished"))

    def test_a_file_that_was_taken_away(self, recorded: World, tmp_path: Path) -> None:
        """It comes back."""
        fill(recorded, 600)
        export_tiles(recorded.services, tmp_path)
        (tmp_path / "tile" / "entries" / "001").unlink()
        (tmp_path / "tile" / "0" / "000").unlink()
        export_tiles(recorded.services, tmp_path)
        assert len(tiled.read(tmp_path)) == 601

    def test_killed_in_the_middle(
        self, recorded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The checkpoint comes last: a folder shows an older state or the new one."""
        fill(recorded, 300)
        export_tiles(recorded.services, tmp_path)
        fill(recorded, 700)
        monkeypatch.setattr("oneoff.commands.export.write_whole", stopping_after(2))
        with pytest.raises(KeyboardInterrupt):
            export_tiles(recorded.services, tmp_path)
        assert len(tiled.read(tmp_path)) == 300
        monkeypatch.undo()
        export_tiles(recorded.services, tmp_path)
        assert len(tiled.read(tmp_path)) == 701

    def test_another_log(self, recorded: World, tmp_path: Path) -> None:
        """Two logs never share a folder."""
        export_tiles(recorded.services, tmp_path / "tiles")
        other = World(tmp_path)
        fill(other, 20)
        with pytest.raises(EvidenceUnfit, match="of the log"):
            export_tiles(other.services, tmp_path / "tiles")

    def test_a_log_that_was_rewritten(
        self, recorded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The folder is an anchor as well: it is not made to fit."""
        export_tiles(recorded.services, tmp_path / "tiles")
        kept = (tmp_path / "tiles" / "checkpoint").read_bytes()
        other, name = World(tmp_path), recorded.store.log_name()
        monkeypatch.setattr(other.store, "log_name", lambda: name)
        for size in (5, 20):
            fill(other, size)
            with pytest.raises(EvidenceUnfit, match="rewritten"):
                export_tiles(other.services, tmp_path / "tiles")
        assert (tmp_path / "tiles" / "checkpoint").read_bytes() == kept

    def test_events_that_were_pruned(
        self, recorded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Their hashes are there still; that they themselves are missing is said."""
        fill(recorded, 600)
        events = recorded.store.events

        def from_300(*, start: int = 0, **about: Any) -> Any:
            return events(start=max(start, 300), **about)

        monkeypatch.setattr(recorded.store, "events", from_300)
        written = export_tiles(recorded.services, tmp_path)
        assert (written.missing, written.complete) == (512, False)
        assert (tmp_path / "tile" / "0" / "001").stat().st_size == 8192
        assert not (tmp_path / "tile" / "entries" / "001").exists()

    def test_an_event_that_was_changed(
        self, recorded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is not passed on."""
        found = [replace(event, body=b"{}") if event.seq == 4 else event for event in recorded.store.events()]
        monkeypatch.setattr(recorded.store, "events", lambda **_: iter(found))
        with pytest.raises(StoreCorrupted, match="event 4 was changed"):
            export_tiles(recorded.services, tmp_path)
        assert not (tmp_path / "checkpoint").exists()


def stopping_after(count: int) -> Callable[[Path, bytes], None]:
    """``write_whole``, until somebody presses Ctrl-C."""
    from oneoff.files import write_whole

    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        if len(written) == count:
            raise KeyboardInterrupt
        written.append(path)
        write_whole(path, data)

    return write
