"""``oneoff doctor`` and ``oneoff release``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

import click

from oneoff.cli.errand import ErrandCommand
from oneoff.cli.output import emit, fields, output_option
from oneoff.cli.session import Session
from oneoff.commands.doctor import examine
from oneoff.commands.run import release_of
from oneoff.errors import AppNotFound
from oneoff.protocols import Finding

UNWELL = 1


@click.command("doctor")
@click.option(
    "--env",
    "environment",
    metavar="NAME",
    help="Look at the cluster of this environment, and at your rights.",
)
@output_option
@click.pass_context
def doctor_command(ctx: click.Context, /, environment: str | None, output: str) -> None:
    """Check that everything needed is in place; exits with 1 where something is not."""
    findings = examine(ctx.obj) if environment is None else _of_environment(ctx.obj, environment)
    emit([asdict(finding) for finding in findings], lambda: _lines(findings), output)
    ctx.exit(0 if all(finding.ok for finding in findings) else UNWELL)


def _of_environment(session: Session, environment: str) -> list[Finding]:
    from oneoff.commands.cluster.doctor import examine_environment

    return examine_environment(lambda: session.remote(environment))


def _lines(findings: list[Finding]) -> str:
    width = 10 if all(len(finding.name) < 12 for finding in findings) else 20
    return "\n".join(_line(finding, width) for finding in findings)


def _line(finding: Finding, width: int) -> str:
    mark = "ok " if finding.ok else "BAD"
    message = finding.message.replace("\n", f"\n     {'':<{width}} ")
    line = f"{mark}  {finding.name:<{width}} {message}"
    if not finding.next_step:
        return line
    if "\n" in finding.next_step:  # a document, to be copied
        return f"{line}\n\n{finding.next_step.rstrip()}"
    return f"{line}\n     {'':<{width}} next: {finding.next_step}"


@click.command("release", cls=ErrandCommand)
@output_option
@click.pass_obj
def release_command(session: Session, /, output: str) -> None:
    """Show which release a run would belong to."""
    release = session.reading.release
    with suppress(AppNotFound):  # commands need no app, and have a release all the same
        release = release_of(session.reading, session.registry)
    document = {**asdict(release), "host": session.reading.observer.host}
    del document["code"]  # each task has its own
    rows = list(document.items())
    document["environments"] = {
        name: {"protected": one.protected, "reason": one.reason}
        for name, one in session.settings.environments.items()
    }
    emit(document, lambda: fields(rows), output)
