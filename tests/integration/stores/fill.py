"""Records runs until nothing more fits: ``python -m tests.integration.stores.fill FOLDER LIMIT``.

LIMIT is the largest size of a file in bytes, 0 for none. Prints what was refused, and what is there then.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from oneoff.audit.verify import verify
from oneoff.errors import OneoffError
from oneoff.stores.spool import FileSpool
from oneoff.stores.sqlite import SqliteStore
from oneoff.types import RunId
from tests.records import make_run, note

DOCUMENT = b'{"outcome": "' + b"x" * 50_000 + b'"}'


def main(folder: Path, limit: int) -> None:
    store, spool = SqliteStore.open(folder / "store.db"), FileSpool(folder)
    spool.reserve(RunId("waiting"))
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    acknowledged = 0
    try:
        for number in range(100_000):
            store.create(make_run(f"r{number}"), note())
            acknowledged += 1
    except OneoffError as error:
        refused = error
    spool.write(RunId("waiting"), DOCUMENT)
    again = SqliteStore.open(folder / "store.db")
    result = verify(again.events(), again.checkpoint, lambda _: False)
    report = {
        "error": type(refused).__name__,
        "message": refused.message,
        "next_step": refused.next_step,
        "acknowledged": acknowledged,
        "size": result.size,
        "problems": result.problems,
        "spooled": [content == DOCUMENT for _, content in spool.pending()],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
