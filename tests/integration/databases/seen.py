"""What a seal over one database tells, in one report."""

from __future__ import annotations

from dataclasses import replace

from oneoff.databases.together import Together
from oneoff.dryrun.report import DatabaseReport


def everything(seal: Together) -> DatabaseReport:
    """The database's own report, with what was tried and not held beside it."""
    report = seal.report()
    return replace(
        report,
        attempts=report.attempts + seal.attempts,
        not_covered=report.not_covered + seal.not_covered,
    )
