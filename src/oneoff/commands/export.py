"""``audit export``: the events for other tools, as lines of JSON or as the static files of a tiled log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from oneoff.audit import ecs, event, ocsf, tiles
from oneoff.audit.event import StoredEvent, decode
from oneoff.audit.merkle import consistency_proof, leaf_hash, verify_consistency
from oneoff.audit.note import origin_of
from oneoff.commands.attend import attend
from oneoff.commands.checkpoints import recall, state
from oneoff.errors import EvidenceUnfit, StoreCorrupted, StoreUnavailable
from oneoff.files import write_whole
from oneoff.protocols import Services
from oneoff.types import JSONObject, rfc3339

LINES = ("jsonl", "ocsf", "ecs")
"""The formats that have a line of JSON for each event."""
TILES = "tiles"

_MAPPERS = {"ocsf": ocsf.event, "ecs": ecs.event}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to export as lines."""

    form: str = "jsonl"
    since: datetime | None = None
    until: datetime | None = None
    """Up to, and not at, this time."""
    names: bool = False
    """With the actors' names, which then leave the one place where they can be erased."""


@dataclass
class Written:
    """How far an export has come."""

    count: int = 0
    """Events: all that were written, or for tiles, all that the folder stands for."""
    complete: bool = False
    missing: int = 0
    """Events that are not in the log any more, and whose bundles the folder does not have either."""


def export_lines(services: Services, wish: Wish, write: Callable[[bytes], object]) -> Written:
    """Write a line for each event, oldest first, in constant memory. Recorded in the log, however it ends."""
    attend(services)
    size = services.store.checkpoint().size
    line = _line(services, wish)
    with _recorded(services, wish) as written:
        for stored in takewhile(lambda stored: stored.seq < size, services.store.events()):
            if _wanted(stored, wish):
                write(line(stored))
                written.count += 1
        written.complete = True
    return written


def _wanted(stored: StoredEvent, wish: Wish) -> bool:
    if wish.since is None and wish.until is None:
        return True
    try:
        time = str(decode(stored.body)["time"])  # the column beside it is not hashed
    except (KeyError, ValueError) as error:
        raise _corrupted(f"event {stored.seq} is none that can be read: {error!r}") from error
    return (wish.since is None or time >= rfc3339(wish.since)) and (
        wish.until is None or time < rfc3339(wish.until)
    )


def _line(services: Services, wish: Wish) -> Callable[[StoredEvent], bytes]:
    """Makes the line of an event; raises StoreCorrupted for one that is none."""
    origin = origin_of(services.store.log_name())
    directory = services.store.actors() if wish.names else {}
    mapper = _MAPPERS.get(wish.form)

    def line(stored: StoredEvent) -> bytes:
        body = _sound(stored)
        try:
            envelope: Any = decode(body)
            subject = (envelope["data"].get("initiator") or {}).get("subject")
            name = directory[subject].name or None if subject in directory else None
            if mapper is None:
                return _exact(stored, name)
            entry: JSONObject = {"seq": stored.seq, "leaf": stored.leaf.hex(), "event": envelope}
            return _compact(mapper(entry, origin=origin, name=name)) + b"\n"
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _corrupted(f"event {stored.seq} is none that can be read: {error!r}") from error

    return line


def _exact(stored: StoredEvent, name: str | None) -> bytes:
    """The event's own bytes in the middle, so that its hash can be computed from the line."""
    head: JSONObject = {"seq": stored.seq, "leaf": stored.leaf.hex()}
    if name is not None:
        head["actor"] = name
    return _compact(head)[:-1] + b',"event":' + stored.body + b"}\n"


def _compact(document: JSONObject) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@contextmanager
def _recorded(services: Services, wish: Wish) -> Iterator[Written]:
    """Record the export at its end, also where a reader went away or the disk was full."""
    written = Written()
    try:
        yield written
    finally:
        _record(services, wish, written)


def _record(services: Services, wish: Wish, written: Written) -> None:
    told = event.of_log(
        "exported",
        services.actor,
        services.observer,
        services.clock.now(),
        format=wish.form,
        since=None if wish.since is None else rfc3339(wish.since),
        until=None if wish.until is None else rfc3339(wish.until),
        names=wish.names,
        count=written.count,
        complete=written.complete,
    )
    try:
        if services.unwritable is not None:
            raise services.unwritable
        services.store.record(told)
    except StoreUnavailable as error:
        services.say(f"the log does not say that it was exported: {error.message}")


def export_tiles(services: Services, folder: Path) -> Written:
    """Bring a folder of static files up to date; what is full there already is not written again.

    Raises:
        EvidenceUnfit: the folder is of another log, or of this one before it was rewritten.
        OSError: the folder cannot be written.
    """
    attend(services)
    with _recorded(services, Wish(form=TILES)) as written:
        stated = state(services)
        size = stated.checkpoint.size
        _same_log(services, folder, size)
        new = [*_put_tiles(services, folder, size), *_put_bundles(services, folder, size)]
        # After the files that it needs and before the end of those that the one before it needs: a reader
        # of the folder finds all of the log that its checkpoint names, whenever this is killed.
        write_whole(folder / tiles.CHECKPOINT, stated.text.encode())
        for path in new:
            shutil.rmtree(f"{path}.p", ignore_errors=True)
        written.count, written.missing = size, _missing(folder, size)
        written.complete = written.missing == 0
    return written


def _same_log(services: Services, folder: Path, size: int) -> None:
    """The folder's own checkpoint has to be of this log's past: else its full files are another log's."""
    path = folder / tiles.CHECKPOINT
    if not path.exists():
        return
    (kept,) = recall(services, path.read_text(encoding="utf-8"))
    old, now = kept.checkpoint, services.store.checkpoint()
    proof = consistency_proof(old.size, now.size, services.store.hashes) if old.size <= now.size else []
    if old.size > size or not verify_consistency(old, now, proof):
        raise EvidenceUnfit(
            f"{path} is the checkpoint {old}, and the log at hand is not that one grown: one was rewritten",
            next_step="`oneoff audit verify --checkpoint FILE` with it says more; keep the folder",
        )


def _put_tiles(services: Services, folder: Path, size: int) -> Iterator[Path]:
    """Write the tiles of hashes that the folder lacks, and name them."""
    for level in tiles.levels(size):
        for tile in tiles.tiles(size, level):
            if not (folder / tile.path).exists():
                hashes = services.store.hashes(tile.places)
                write_whole(folder / tile.path, b"".join(hashes[place] for place in tile.places))
                yield folder / tile.path


def _put_bundles(services: Services, folder: Path, size: int) -> Iterator[Path]:
    """Write the bundles of events that the folder lacks and the log still has, and name them."""
    lacking = {tile.index: tile for tile in _lacking(folder, size)}
    if not lacking:
        return
    events = services.store.events(start=min(lacking) * tiles.WIDTH)
    inside = takewhile(lambda stored: stored.seq < size, events)
    for index, group in groupby(inside, lambda stored: stored.seq // tiles.WIDTH):
        bodies = [_sound(stored) for stored in group]
        if index in lacking and len(bodies) == lacking[index].width:
            path = folder / lacking[index].bundle
            write_whole(path, tiles.bundle(bodies))
            yield path


def _lacking(folder: Path, size: int) -> Iterator[tiles.Tile]:
    return (tile for tile in tiles.tiles(size, 0) if not (folder / tile.bundle).exists())


def _missing(folder: Path, size: int) -> int:
    return sum(tile.width for tile in _lacking(folder, size))


def _sound(stored: StoredEvent) -> bytes:
    """The event's bytes; what was changed is not passed on."""
    if leaf_hash(stored.body) != stored.leaf:
        raise _corrupted(f"event {stored.seq} was changed: its body does not fit its hash")
    return stored.body


def _corrupted(what: str) -> StoreCorrupted:
    return StoreCorrupted(what, next_step="`oneoff audit verify` lists all that does not fit")
