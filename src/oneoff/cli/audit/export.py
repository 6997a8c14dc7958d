"""``oneoff audit export``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oneoff.cli.errand import ErrandCommand, give, words
from oneoff.cli.session import Session, tell
from oneoff.cli.times import since as point_in_time
from oneoff.commands.export import LINES, TILES, Wish, Written, export_lines, export_tiles
from oneoff.errors import OneoffError, StoreUnavailable, UsageError
from oneoff.files import replacing
from oneoff.protocols import Services

if TYPE_CHECKING:
    from oneoff.commands.cluster.remote import Remote

INCOMPLETE = 1


class ExportErrand(ErrandCommand):
    """The events come by standard output, and the file is written here."""

    def send(self, ctx: click.Context, remote: Remote) -> int:
        target = ctx.params["target"]
        if ctx.params["form"] == TILES:
            raise UsageError(
                "tiles are brought up to date in their folder, and a pod does not see it",
                next_step="export another format, or write the tiles where the store can be reached",
            )
        answer = self.ask(remote, words(ctx, {**ctx.params, "target": None}))
        # Its last word, which it has not where it failed in the middle.
        done = any(line.startswith(b"exported ") for line in answer.stderr.splitlines())
        to_file = done and target is not None and str(target) != "-"
        if to_file:
            _replace(target, answer.stdout)
        give(answer, remote, stdout=not to_file)
        return answer.exit_code


def _replace(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise OneoffError(f"{error.filename or path} cannot be written: {error.strerror}") from error


@click.command("export", cls=ExportErrand)
@click.option("--format", "form", type=click.Choice([*LINES, TILES]), default="jsonl", show_default=True)
@click.option("--since", metavar="WHEN", help="From this time on: 7d, 2026-01-31 or 2026-01-31T09:00Z.")
@click.option("--until", metavar="WHEN", help="Up to this time, and not at it.")
@click.option("--names", is_flag=True, help="With the actors' names, where the directory still has them.")
@click.argument("target", metavar="[FILE|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.pass_context
def export_command(
    ctx: click.Context,
    /,
    form: str,
    since: str | None,
    until: str | None,
    names: bool,
    target: Path | None,
) -> None:
    """Write the events for other tools; the log records that they were exported.

    jsonl has the exact events, ocsf (1.6.0) and ecs (8.17.0) are for a SIEM: to FILE, which is replaced once
    all of it is there, or to standard output. tiles is a FOLDER of static files (C2SP tlog-tiles), brought up
    to date each time.
    """
    now = datetime.now(UTC)
    wish = Wish(form=form, since=point_in_time(since, now), until=point_in_time(until, now), names=names)
    services = _services(ctx.obj)
    written = _tiles(services, wish, target) if form == TILES else _lines(services, wish, target)
    tell(f"exported {written.count:,} events{f' to {target}' if target else ''}")
    if written.missing:
        tell(f"{written.missing:,} of them are not in the log any more: their hashes are there, they are not")
    ctx.exit(0 if written.complete else INCOMPLETE)


def _services(session: Session) -> Services:
    """An export is recorded where the store can be written, and possible where it cannot."""
    try:
        return session.services
    except StoreUnavailable:
        return session.reading


def _tiles(services: Services, wish: Wish, folder: Path | None) -> Written:
    if folder is None:
        raise UsageError("tiles are a folder of files: name one")
    if wish.since or wish.until or wish.names:
        raise UsageError(
            "tiles are the whole log as it was hashed: --since, --until and --names do not apply"
        )
    return _writing(folder, lambda: export_tiles(services, folder))


def _lines(services: Services, wish: Wish, path: Path | None) -> Written:
    if path is None or str(path) == "-":
        written = export_lines(services, wish, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return written

    def replace() -> Written:
        with replacing(path) as file:
            return export_lines(services, wish, file.write)

    return _writing(path, replace)


def _writing(path: Path, write: Callable[[], Written]) -> Written:
    try:
        return write()
    except OSError as error:
        raise OneoffError(f"{error.filename or path} cannot be written: {error.strerror}") from error
