"""``oneoff audit selftest``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session
from oneoff.commands.attacks import Check
from oneoff.commands.selftest import Report, Result, selftest
from oneoff.types import JSONObject

UNLIKE_DOCUMENTED = 1


@click.command("selftest")
@click.option(
    "--url",
    metavar="URL",
    help="Also in this PostgreSQL database, which has to be empty; as a role that may create roles and schemas.",
)
@output_option
@click.pass_context
def selftest_command(ctx: click.Context, /, url: str | None, output: str) -> None:
    """Attack a throw-away log as a database administrator can, and say what sees each attack.

    Your own store is not touched. Ends with 1 where something is seen or not seen unlike the documents say.
    """
    from oneoff.wiring.selftest import postgres_bench, sqlite_bench

    session: Session = ctx.obj
    benches = [sqlite_bench(session.asker), *([postgres_bench(url, session.asker)] if url else [])]
    reports = []
    for made in benches:
        with made as bench:
            reports.append(selftest(bench))
    ok = all(report.ok for report in reports)
    emit(_document(ok, reports), lambda: "\n\n".join(map(_text, reports)), output)
    ctx.exit(0 if ok else UNLIKE_DOCUMENTED)


def _document(ok: bool, reports: Sequence[Report]) -> JSONObject:
    attacks = [
        {
            "store": report.store,
            "attack": result.attack.name,
            "does": result.attack.does,
            "seen": _seen(result),
            "documented": {check.value: check in result.attack.seen_by for check in Check},
            "as_documented": result.as_documented,
            "how": {check.value: words for check, words in result.how.items() if words},
            "helps": result.attack.helps,
        }
        for report in reports
        for result in report.results
    ]
    return {"ok": ok, "attacks": attacks}


def _seen(result: Result) -> JSONObject:
    return {check.value: result.seen.get(check) for check in Check}


def _text(report: Report) -> str:
    rows = [
        (result.attack.name, *(_cell(result, check) for check in Check), result.attack.does)
        for result in report.results
    ]
    lines = [f"{report.store}:", table(("ATTACK", *(check.upper() for check in Check), "WHAT IT DOES"), rows)]
    return "\n".join([*lines, _summary(report)])


def _cell(result: Result, check: Check) -> str:
    seen = result.seen.get(check)
    if seen is None:
        return "not tried"
    words = "seen" if seen else "-"
    return words if seen == (check in result.attack.seen_by) else f"{words} (!)"


def _summary(report: Report) -> str:
    different = [result.attack.name for result in report.results if not result.as_documented]
    lines = [f"{len(report.results)} attacks; what is not seen, and what helps: docs/reference/attacks.md"]
    if not report.signing:
        lines.append("Signatures were not tried: they need oneoff[signing].")
    if different:
        lines.append(f"(!) NOT as documented: {', '.join(different)}")
    else:
        lines.append("ok: all as documented.")
    return "\n".join(lines)
