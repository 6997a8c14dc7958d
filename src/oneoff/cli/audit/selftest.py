"""``oneoff audit selftest``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from oneoff.cli.output import emit, output_option, table
from oneoff.cli.session import Session
from oneoff.commands.selftest.attacks import Check
from oneoff.commands.selftest.trial import Report, Result, check_url, selftest
from oneoff.types import JSON, JSONObject

UNLIKE_DOCUMENTED = 1


@click.command("selftest")
@click.option(
    "--url",
    metavar="URL",
    help="Also in this empty PostgreSQL database, as a role that may create roles and schemas.",
)
@output_option
@click.pass_context
def selftest_command(ctx: click.Context, /, url: str | None, output: str) -> None:
    """Attack a throw-away log as a database administrator can, and say what sees each attack.

    Your own store is not touched. Ends with 1 where something is seen or not seen unlike the documents say.
    """
    from oneoff.wiring.selftest import postgres_bench, sqlite_bench

    session: Session = ctx.obj
    benches = [sqlite_bench(session.asker)]
    if url is not None:  # the first, because it may be refused
        check_url(url)
        benches.insert(0, postgres_bench(url, session.asker))
    reports = []
    for made in benches:
        with made as bench:
            reports.append(selftest(bench))
    ok = all(report.ok for report in reports)
    emit(_document(ok, reports), lambda: "\n\n".join(map(_text, reports)), output)
    ctx.exit(0 if ok else UNLIKE_DOCUMENTED)


def _document(ok: bool, reports: Sequence[Report]) -> JSONObject:
    attacks: list[JSON] = [
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
    lines = [] if report.signing else ["Signatures were not tried: they need oneoff[signing]."]
    if different:
        lines.append(f"NOT as documented (!): {', '.join(different)}")
    else:
        lines.append("ok: each is seen, or not seen, as documented in docs/reference/attacks.md")
    return "\n".join(lines)
