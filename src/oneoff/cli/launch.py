"""``oneoff run --env`` and ``exec --env`` where the environment is in Kubernetes."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import click

from oneoff.cli.options import collect_texts, run_options, slot, task_options
from oneoff.cli.output import emit
from oneoff.cli.runs import LET_GO, ending_line
from oneoff.cli.session import Session, showing_errors, tell
from oneoff.errors import InvalidParameters, Problem, TaskNotFound, UsageError, did_you_mean
from oneoff.runs.document import to_document
from oneoff.runs.run import Run
from oneoff.runs.status import EXIT_CODES, Status
from oneoff.settings.kubernetes import SecretKey
from oneoff.tasks.parameters import Parameter
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task
from oneoff.types import RunId, new_run_id

if TYPE_CHECKING:  # loaded where a run is launched: they bring a whole HTTP client
    from collections.abc import Iterator

    from oneoff.commands.launch import Launched
    from oneoff.commands.options import Options
    from oneoff.commands.remote import Remote

_SECRET = re.compile(r"secret:([a-z0-9]([a-z0-9.-]*[a-z0-9])?)/([A-Za-z0-9._-]+)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
FOUND_EFFECTS = 10


def command_of(session: Session, environment: str, name: str) -> click.Command:
    """The click command of one task as the release in that environment has it.

    Raises:
        TaskNotFound: it has none of that name.
        ClusterError, NotDerivable: the release cannot be asked.
    """
    bare = next((task for task in session.bare_tasks if task.name == task_name(name)), None)
    if bare is not None:
        return launch_command(bare, bare=True)
    from oneoff.commands.errands import catalogue

    known = {task.name: task for task in catalogue(session.remote(environment))}
    found = known.get(task_name(name))
    if found is None:
        raise TaskNotFound(
            f"the release in {environment} has no task {name}{did_you_mean(name, known)}",
            next_step=f"`oneoff tasks --env {environment}` lists them",
        )
    return launch_command(found, bare=False)


def launch_command(task: Task, *, bare: bool) -> click.Command:
    """The click command that launches one task of a release."""

    @click.pass_context
    def callback(ctx: click.Context, /, **given: Any) -> None:
        with showing_errors():
            plain, secrets = _parameters(task, given, ctx)
            perform(ctx, task, given, texts=plain, secrets=secrets, bare=bare)

    return click.Command(
        task.name,
        callback=callback,
        params=[*task_options(task.parameters), *run_options()],
        help=task.help or None,
        short_help=task.summary or None,
    )


def perform(
    ctx: click.Context,
    task: Task,
    given: Mapping[str, Any],
    *,
    texts: Mapping[str, Any] | None = None,
    secrets: Mapping[str, SecretKey] | None = None,
    bare: bool = False,
    command: Sequence[str] = (),
) -> None:
    """Launch, follow, say how it ended, and exit as it did."""
    from oneoff.cli.manifests import wanted
    from oneoff.cli.run import options_of
    from oneoff.commands import launch, supervise
    from oneoff.commands.releases import live

    session = ctx.find_object(Session)
    assert session is not None
    options = options_of(ctx, given, command)
    remote = session.remote(options.environment)
    run_id = options.run_id or new_run_id(remote.clock.now())
    request = launch.LaunchRequest(
        task=task,
        texts=texts or {},
        secrets=secrets or {},
        options=options,
        bare=bare,
        run_id=run_id,
        live=live(remote, wanted(given["release"])),
        image=given["image"],
        variables=_variables(given["variables"]),
    )
    with letting_go(run_id, remote.environment.name):
        launched = (
            supervise.launch(session.services, remote, request) if bare else launch.launch(remote, request)
        )
        _tell_launched(remote, launched)
        if options.detach:
            _finish(ctx, launched.run, given, found_effects=False)
        found = launch.attend_launched(remote, launched, write=_writer(options), say=tell)
    if bare:
        ended = supervise.close(session.services, launched.run, found, launched.job)
    else:
        ended = launch.ended(launched.run, found, remote.clock.now())
    _finish(ctx, ended, given, found_effects=bool(found.words and found.words.has_effects))


def _finish(ctx: click.Context, run: Run, given: Mapping[str, Any], *, found_effects: bool) -> None:
    if given["output"] == "json":
        emit(to_document(run), str, "json")
    elif run.active:
        tell(f"run {run.id} is {run.status}; `oneoff logs -f {run.id} --env {run.environment}` follows it")
    else:
        tell(ending_line(run))
    if run.active:
        ctx.exit(0)
    found = given["exit_code"] and found_effects and run.status is Status.SUCCEEDED
    ctx.exit(FOUND_EFFECTS if found else EXIT_CODES[run.status])


def _writer(options: Options) -> Any:
    out = sys.stderr.buffer if options.keep_stdout else sys.stdout.buffer

    def write(text: bytes) -> None:
        out.write(text)
        out.flush()

    return write


def _tell_launched(remote: Remote, launched: Launched) -> None:
    name = launched.job["metadata"]["name"]
    was = "was launched before" if launched.before else "is launched"
    tell(f"run {launched.run.id} {was}: Job {name} in {remote.cluster.namespace}")


@contextmanager
def letting_go(run_id: RunId, environment: str) -> Iterator[None]:
    """Ctrl-C lets go of a run, which goes on if it was launched, and says how to come back."""
    try:
        yield
    except KeyboardInterrupt:
        at = f"{run_id} --env {environment}"
        tell(f"\nrun {run_id} goes on; `oneoff logs -f {at}` comes back to it, `oneoff cancel {at}` ends it")
        sys.exit(LET_GO)


def _variables(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        match = _VARIABLE.fullmatch(one)
        if match is None:
            raise UsageError(f"--variable {one!r}: NAME=VALUE is wanted")
        found[match[1]] = match[2]
    return found


def _parameters(
    task: Task, given: dict[str, Any], ctx: click.Context
) -> tuple[dict[str, Any], dict[str, SecretKey]]:
    """The texts of its parameters, checked as the app would, and where its secrets are."""
    session = cast(Session, ctx.find_object(Session))
    plain = tuple(parameter for parameter in task.parameters if not parameter.secret)
    texts = collect_texts(plain, given, session.asker)
    problems: list[Problem] = []
    secrets: dict[str, SecretKey] = {}
    for parameter in task.parameters:
        if parameter.secret:
            _reference(parameter, given.get(slot(parameter.name)), secrets, problems)
    try:
        texts.read(plain)
    except InvalidParameters as error:
        raise InvalidParameters([*error.problems, *problems], next_step=error.next_step) from None
    if problems:
        raise InvalidParameters(problems)
    return dict(texts.values), secrets


def _reference(
    parameter: Parameter, raw: str | None, secrets: dict[str, SecretKey], problems: list[Problem]
) -> None:
    if raw is None:
        if parameter.required:
            problems.append(Problem(parameter.name, f"is a secret: {_wanted(parameter)}"))
        return
    match = _SECRET.fullmatch(raw)
    if match is None:
        problems.append(
            Problem(parameter.name, f"is a secret, and cannot travel from here: {_wanted(parameter)}")
        )
        return
    secrets[parameter.name] = SecretKey(match[1], match[3])


def _wanted(parameter: Parameter) -> str:
    return f"name the Secret of the namespace that holds it, {parameter.option} secret:NAME/KEY"
