"""Click commands as tasks: what is offered of them, and what they get of a run's values."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oneoff.errors import CommandFailed, InvalidParameters
from oneoff.frameworks import clicks
from oneoff.frameworks.found import made
from oneoff.tasks import parameters
from oneoff.tasks.code import code_digest
from oneoff.tasks.task import Task
from tests.unit.frameworks.asked import Asked


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def tasks_of(command: click.Command) -> dict[str, Task]:
    """The tasks of a program, by name."""
    program = clicks.Program(command=command, name="program", origin="shop.cli:cli")
    leaves = {leaf.name: leaf for leaf in clicks.leaves(program)}
    tasks, left_out = made(leaves, lambda name: clicks.task_of(program, leaves[name]))
    assert left_out == []
    return {task.name: task for task in tasks}


def task_with(*params: Callable[[Any], Any]) -> tuple[Task, dict[str, Any]]:
    """A command with these parameters, as a task, and what it got when it was last called."""
    got: dict[str, Any] = {}

    def callback(**values: Any) -> None:
        got.clear()
        got.update(values)

    for param in reversed(params):
        callback = param(callback)
    (task,) = tasks_of(click.command("task")(callback)).values()
    return task, got


def call(task: Task, texts: dict[str, Any] | None = None, run: Asked | None = None) -> None:
    """Call it as a run would."""
    assert task.function is not None
    task.function(run or Asked(), **parameters.parse(task.parameters, texts or {}))


@pytest.mark.parametrize(
    ("param", "option", "texts", "value"),
    [
        (click.option("--days", type=int, default=3), "--days", {}, 3),
        (click.option("--days", type=int, default=3), "--days", {"days": "-4"}, -4),
        (click.option("--rate", type=float), "--rate", {"rate": "1.5"}, 1.5),
        (click.option("--rate", type=float), "--rate", {}, None),
        (click.option("--older-than", "age"), "--older-than", {"older_than": "-x"}, "-x"),
        (click.option("-n"), "--n", {"n": "-x"}, "-x"),
        (click.option("-n"), "--n", {"n": ""}, ""),
        (click.option("--all", is_flag=True), "--all", {"all": True}, True),
        (click.option("--all", is_flag=True), "--all", {"all": False}, False),
        (click.option("--x/--no-x", default=True), "--x", {"x": False}, False),
        (click.option("--x/--y", default=False), "--x", {"x": True}, True),
        (click.option("--x", type=bool, default=True), "--x", {"x": False}, False),
        (click.option("--name", multiple=True), "--name", {}, ()),
        (click.option("--name", multiple=True), "--name", {"name": ["a", "-b"]}, ("a", "-b")),
        (click.option("--at", nargs=2, type=int), "--at", {"at": ["1", "-2"]}, (1, -2)),
        (
            click.option("--at", nargs=2, multiple=True),
            "--at",
            {"at": ["1", "2", "3", "4"]},
            (("1", "2"), ("3", "4")),
        ),
        (click.option("-v", "--verbose", count=True), "--verbose", {"verbose": "3"}, 3),
        (click.option("--up", "case", flag_value="up", default="low"), "--up", {"up": True}, "up"),
        (click.option("--kind", type=click.Choice(["a", "b"])), "--kind", {"kind": "b"}, "b"),
        (click.option("--on", type=click.DateTime(["%Y"])), "--on", {"on": "2024"}, "2024"),
        (click.argument("target"), "--target", {"target": "-x"}, "-x"),
        (click.argument("target", default="head"), "--target", {}, "head"),
        (click.argument("files", nargs=-1), "--files", {"files": ["a", "--b"]}, ("a", "--b")),
        (click.option("--count", type=click.IntRange(1, 5)), "--count", {"count": "5"}, 5),
        (click.option("--who", envvar="NOBODY_SETS_THIS", default="me"), "--who", {}, "me"),
        (click.option("--pin", prompt=True, hide_input=True), "--pin", {"pin": "12"}, "12"),
        (click.option("--env"), "--its-env", {"its_env": "x"}, "x"),
        (click.option("--reason", required=True), "--its-reason", {"its_reason": "x"}, "x"),
    ],
)
def test_a_value_arrives(param: Any, option: str, texts: dict[str, Any], value: Any) -> None:
    """What is given to the task, or its default, is what the command gets, in the command's own type."""
    task, got = task_with(param)
    (parameter,) = task.parameters
    assert parameter.option == option
    call(task, texts)
    (arrived,) = got.values()
    assert (arrived.strftime("%Y") if hasattr(arrived, "strftime") else arrived) == value


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    others=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=3),
)
def test_any_text_arrives(name: str, others: list[str]) -> None:
    """Whatever a text looks like, the command gets it as it is: no dash makes it an option."""
    task, got = task_with(click.option("--name"), click.argument("others", nargs=-1))
    call(task, {"name": name, "others": others})
    assert got == {"name": name, "others": tuple(others)}


def test_members_of_an_enum() -> None:
    """A choice of an Enum is offered by its names, its default too."""
    choice = click.Choice(Colour)
    task, got = task_with(
        click.option("--a", type=choice, default=Colour.BLUE), click.option("--b", type=choice)
    )
    assert [parameter.default_text for parameter in task.parameters] == ["BLUE", None]
    call(task, {"b": "RED"})
    assert got == {"a": Colour.BLUE, "b": Colour.RED}


def test_a_default_by_a_variable_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a secret, so it stays "not given", and the command takes it from the variable itself."""
    monkeypatch.setenv("SHOP_TOKEN", "hush")
    task, got = task_with(click.option("--token", envvar="SHOP_TOKEN", required=True))
    assert (task.parameters[0].required, task.parameters[0].default) == (False, None)
    call(task)
    assert got == {"token": "hush"}


def test_what_is_wrong_is_told_at_once() -> None:
    """Types and limits of Click are those of the task: nothing runs before they hold."""
    task, got = task_with(
        click.option("--n", type=click.IntRange(1, 5)),
        click.option("--k", type=click.Choice(["a"])),
        click.argument("must"),
    )
    with pytest.raises(InvalidParameters) as caught:
        parameters.parse(task.parameters, {"n": "6", "k": "b"})
    assert {problem.parameter for problem in caught.value.problems} == {"n", "k", "must"}
    assert got == {}


def test_a_hidden_input_is_a_secret() -> None:
    """A password is never shown nor recorded."""
    task, _ = task_with(click.password_option("--password"))
    assert task.parameters[0].secret and task.parameters[0].required


@pytest.mark.parametrize("name", ["token", "api_token", "db-password", "SECRET"])
def test_a_secret_by_its_name(name: str) -> None:
    """What is called a password or a token is one, since a value in the audit log stays there."""
    task, got = task_with(click.option(f"--{name}"))
    assert task.parameters[0].secret
    call(task, {task.parameters[0].name: "hush"})
    assert list(got.values()) == ["hush"]


def test_what_only_sounds_like_a_secret() -> None:
    """A number, or a name that goes on, is none."""
    task, _ = task_with(click.option("--token", type=int), click.option("--token-limit"))
    assert [parameter.secret for parameter in task.parameters] == [False, False]


@click.group()
@click.option("--schema", default="public")
@click.pass_context
def cli(ctx: click.Context, schema: str) -> None:
    """The whole."""
    ctx.obj = {"schema": schema}


@cli.group(name="db")
@click.pass_obj
def db_group(obj: dict[str, str]) -> None:
    obj["group"] = "ran"


@db_group.command()
@click.option("--schema", default="own")
@click.pass_obj
def migrate_it(obj: dict[str, str], schema: str) -> None:
    """Migrate it.

    \b
    As it stands.
    \f
    Not for users.
    """
    click.echo(f"{obj} {schema}")


@cli.command(hidden=True)
def hidden() -> None:
    """Not offered."""


@cli.command(name="Exit-Now")
@click.option("--code", type=int, default=0)
def leave(code: int) -> None:
    click.get_current_context().exit(code)


@cli.command()
@click.option("--how", type=click.Choice(["usage", "abort", "words", "exit"]), default="words")
def fail(how: str) -> None:
    if how == "usage":
        raise click.UsageError("so not")
    if how == "abort":
        raise click.Abort
    if how == "exit":
        raise SystemExit(7)
    raise click.ClickException("in my own words")


def test_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """A command below groups is one task, which runs the groups too; each has its own options."""
    tasks = tasks_of(cli)
    assert sorted(tasks) == ["db:migrate-it", "exit-now", "fail"]
    task = tasks["db:migrate-it"]
    assert [parameter.option for parameter in task.parameters] == ["--schema", "--its-schema"]
    assert (task.help, task.origin) == ("Migrate it.\n\nAs it stands.", "shop.cli:cli")
    call(task, {"schema": "a", "its_schema": "b"})
    assert capsys.readouterr().out == "{'schema': 'a', 'group': 'ran'} b\n"


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [("usage", 2, "so not"), ("abort", 1, "the command was aborted"), ("words", 1, "in my own words")],
)
def test_its_own_words(how: str, code: int, words: str) -> None:
    """How Click ends a program is an error in its own words, with the code that it would exit with."""
    with pytest.raises(CommandFailed) as caught:
        call(tasks_of(cli)["fail"], {"how": how})
    assert (caught.value.code, caught.value.message) == (code, words)


def test_exits() -> None:
    """An exit is one, whichever way the command takes."""
    for name, texts, code in (
        ("fail", {"how": "exit"}, 7),
        ("exit-now", {}, 0),
        ("exit-now", {"code": "3"}, 3),
    ):
        with pytest.raises(SystemExit) as caught:
            call(tasks_of(cli)[name], texts)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("param", "value", "asks"),
    [
        (click.option("--dry-run", is_flag=True), False, False),
        (click.option("--dryrun", "preview", is_flag=True), False, False),
        (click.option("--dry-run/--no-dry-run", default=True), False, False),
        (click.option("--apply", "dry_run", flag_value=False, default=True, type=bool), False, False),
        (click.option("--apply/--dry-run"), True, False),
        (click.option("--dry-run/--apply", default=True), False, False),
        (click.option("--yes", "-y", is_flag=True), True, True),
        (click.option("--input/--no-input", default=True), False, True),
        (click.option("--no-input", is_flag=True), True, True),
    ],
)
def test_its_own_switches(param: Any, value: bool, asks: bool) -> None:
    """Its dry run is never taken and its yes always given; neither is offered, and the help says so."""
    task, got = task_with(param)
    assert task.parameters == ()
    assert "cannot be given" in task.help
    call(task)
    assert list(got.values()) == [value]
    assert (task.confirm is not None) is asks


def test_the_summary_is_of_the_command() -> None:
    """Where nobody wrote one it is the command's name, and not what is said of its switches."""
    task, _ = task_with(click.option("--dry-run", is_flag=True))
    assert task.summary == f"The command {task.name}."


def test_the_code_is_that_of_the_command() -> None:
    """The digest is of the function that somebody wrote, below Click's decorators."""
    tasks = tasks_of(cli)
    assert code_digest(tasks["fail"]) == code_digest(Task(name=tasks["fail"].name, function=fail.callback))
    assert code_digest(tasks["fail"]) != code_digest(tasks["exit-now"])


def test_code_that_is_not_known() -> None:
    """A callback that is no function has no digest: that of oneoff's own code would say nothing."""
    (task,) = tasks_of(click.Command("task", callback=partial(print, "hello"))).values()
    assert code_digest(task) is None


def test_a_command_that_no_task_can_be_called_after() -> None:
    """It is named, and takes no other with it."""

    @click.group()
    def group() -> None: ...

    @group.command("exec")
    def raw() -> None: ...

    @group.command("größe")
    def size() -> None: ...

    program = clicks.Program(command=group, name="g", origin="")
    leaves = {leaf.name: leaf for leaf in clicks.leaves(program)}
    tasks, left_out = made(leaves, lambda name: clicks.task_of(program, leaves[name]))
    assert tasks == []
    assert [(other.name, other.error) for other in left_out] == [("exec", None), ("größe", None)]
