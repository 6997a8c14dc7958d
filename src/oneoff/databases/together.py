"""The end of a run over several databases, which no transaction spans."""

from __future__ import annotations

from collections.abc import Sequence

from oneoff.errors import CommitUnknown, NotCommitted, PartlyCommitted
from oneoff.protocols import Seal


def keep(seals: Sequence[Seal]) -> None:
    """Commit each in turn; all of them have been measured, so what fails here is the commit alone.

    Raises:
        NotCommitted: the first could not, and nothing of the run stayed.
        PartlyCommitted: a later one could not; names those that have.
        CommitUnknown: of one nobody can say.
    """
    kept: list[str] = []
    for seal in seals:
        name = seal.report().database
        try:
            seal.keep()
        except NotCommitted as error:
            if not kept:
                raise
            raise PartlyCommitted(f"{', '.join(kept)} committed, and {name} did not: {error}") from error
        except CommitUnknown as error:
            before = f"{', '.join(kept)} committed; " if kept else ""
            raise CommitUnknown(f"{before}{error}", next_step=error.next_step) from error
        kept.append(name)
