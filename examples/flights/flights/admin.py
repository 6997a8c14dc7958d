"""The admin tasks. `oneoff tasks` lists them; what they do is in maintenance.py and reports.py."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import oneoff
from flights import __version__, maintenance, notify, reports
from flights.db import engine

admin = oneoff.App("flights", database=engine, version=__version__)

BatchSize = Annotated[int, oneoff.Param(help="Rows per transaction.", ge=1, le=50_000)]
CarrierCode = Annotated[str, oneoff.Param(help="Two letters, such as AA.", pattern="^[A-Z0-9]{2}$")]


@admin.task(confirm="This deletes flights for good. Continue?", lock="flights", timeout=timedelta(minutes=30))
def purge_flights(
    ctx: oneoff.Context,
    before: Annotated[date, oneoff.Param(help="Flights of this day and later stay.")],
    batch_size: BatchSize = 5_000,
) -> None:
    """Delete the flights before a date.

    Every batch is a transaction of its own: stopped halfway, it has deleted the oldest ones, and the next
    run goes on from there.
    """
    with ctx.db.connect() as tx:
        total = maintenance.count_before(tx, before)
    ctx.log.info("deleting", before=before, flights=total)
    done = 0
    while done < total and not ctx.should_stop:
        with ctx.db.begin() as tx:
            gone = maintenance.purge_batch(tx, before, batch_size)
        if gone == 0:
            break
        done += gone
        ctx.progress(done, total, "flights deleted")
    ctx.log.info("deleted", flights=done)
    if done:
        ctx.effect("tell the people on duty", notify.tell, f"purged {done:,} flights before {before}")


@admin.task(confirm="This gives all flights of a carrier to another. Continue?", lock="flights")
def merge_carriers(ctx: oneoff.Context, source: CarrierCode, into: CarrierCode) -> None:
    """Give all flights of one carrier to another, and drop the first."""
    with ctx.db.begin() as tx:
        moved = maintenance.merge(tx, source, into)
    ctx.log.info("merged", source=source, into=into, flights=moved)
    ctx.effect("tell the people on duty", notify.tell, f"merged {source} into {into}: {moved:,} flights")


@admin.task(lock="flights", schedule="30 4 * * *", time_zone="America/New_York")
def recompute_delays(
    ctx: oneoff.Context,
    include_diverted: Annotated[bool, oneoff.Param(help="Also flights that landed elsewhere first.")] = False,
    batch_size: BatchSize = 20_000,
) -> None:
    """Compute the delays at arrival anew from the clocks, and correct those that differ."""
    seen = corrected = 0
    for batch in maintenance.arrived(ctx.db, batch_size, diverted=include_diverted):
        if ctx.should_stop:
            break
        delays = maintenance.corrections(batch)
        if delays:
            with ctx.db.begin() as tx:
                maintenance.correct(tx, delays)
        seen += len(batch)
        corrected += len(delays)
        ctx.progress(seen, message=f"{corrected:,} corrected")
    ctx.log.info("recomputed", flights=seen, corrected=corrected)


@admin.task
def export_report(
    ctx: oneoff.Context,
    month: Annotated[int, oneoff.Param(help="1 is January.", ge=1, le=12)],
    file: Annotated[Path, oneoff.Param(help="The CSV file to write.")] = Path("report.csv"),
) -> None:
    """Write how punctual each airline was in a month."""
    with ctx.db.connect() as tx:
        rows = reports.punctuality(tx, month)
    # A file is outside the database: as an effect it is listed in a dry run, not written.
    ctx.effect(f"write {file}", reports.write_csv, file, rows)
    ctx.log.info("exported", month=month, airlines=len(rows), file=file)
