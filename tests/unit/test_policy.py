from __future__ import annotations

from dataclasses import replace

import pytest

from oneoff.errors import Refused
from oneoff.policy import (
    NOT_NEEDED,
    Demand,
    accepted,
    check_place,
    confirmation,
    reason_problem,
    shortfall,
    unasked,
)
from oneoff.settings import EnvironmentSettings, KubernetesSettings
from oneoff.tasks.task import Task
from oneoff.types import TaskName

LOCAL = EnvironmentSettings()
PRODUCTION = EnvironmentSettings(name="production", protected=True, reason=r"OPS-\d+")
PLAIN = Task(name=TaskName("plain"), function=print)
ASKING = Task(name=TaskName("asking"), function=print, confirm="Delete it all?")


def test_a_task_without_a_question_runs_unasked_in_an_unprotected_environment() -> None:
    """Nobody is asked where neither task nor environment wants it."""
    assert confirmation(PLAIN, LOCAL, dry_run=False) is None


def test_a_question_is_the_tasks_own() -> None:
    """The text comes from the task, and yes or no is enough."""
    assert confirmation(ASKING, LOCAL, dry_run=False) == Demand("Delete it all?", None)


def test_a_protected_environment_wants_its_name_for_every_task() -> None:
    """Protection does not depend on what the task says of itself."""
    assert confirmation(PLAIN, PRODUCTION, dry_run=False) == Demand("Run plain in production?", "production")
    assert confirmation(ASKING, PRODUCTION, dry_run=False) == Demand("Delete it all?", "production")


def test_a_dry_run_needs_no_confirmation_and_no_reason() -> None:
    """Looking is free, everywhere."""
    assert confirmation(ASKING, PRODUCTION, dry_run=True) is None
    assert reason_problem(PRODUCTION, None, dry_run=True) is None


def test_yes_is_not_enough_where_a_name_is_wanted() -> None:
    """In a protected environment only --confirm with its very name will do."""
    demand = Demand("?", "production")
    assert accepted(demand, yes=True, confirm=None) is None
    assert accepted(demand, yes=True, confirm="Production") is None
    assert accepted(demand, yes=False, confirm="production") == "--confirm"


def test_yes_answers_a_question() -> None:
    """--yes skips the question and nothing else."""
    assert accepted(Demand("?", None), yes=True, confirm=None) == "--yes"
    assert accepted(Demand("?", None), yes=False, confirm=None) is None


def test_a_name_does_not_answer_a_question() -> None:
    """Who types ``--confirm production`` means production, and is elsewhere where no name is wanted."""
    assert accepted(Demand("?", None), yes=False, confirm="production") is None


def test_a_reason_has_to_match_as_a_whole() -> None:
    """A pattern is about the whole reason, not about a part of it."""
    assert reason_problem(PRODUCTION, "OPS-12", dry_run=False) is None
    for reason in (None, "", "OPS-", "see OPS-12", "OPS-12 "):
        assert reason_problem(PRODUCTION, reason, dry_run=False) is not None
    assert reason_problem(LOCAL, None, dry_run=False) is None


@pytest.mark.parametrize(
    ("required", "missing"),
    [
        ([], None),
        (["static"], None),
        (["sealed"], None),
        (["copy"], "copy"),
        (["audit-hook"], None),
        (["landlock"], "landlock"),
        (["sealed", "landlock"], "landlock"),
        (["copy", "landlock"], "copy"),
    ],
)
def test_what_a_dry_run_is_held_by_is_compared_with_what_is_wanted(
    required: list[str], missing: str | None
) -> None:
    """Levels and guards each have a scale of their own; stronger than wanted is enough."""
    assert shortfall(required, level="sealed", guard="audit hook") == missing


def test_the_strongest_is_enough_for_everything() -> None:
    """A copy is more than a sealed transaction, and Landlock comes with the audit hook."""
    assert shortfall(["static", "preview", "sealed", "audit-hook"], level="copy", guard="landlock") is None


def test_yes_is_kept_for_a_command_that_may_ask_as_it_goes() -> None:
    """A framework's command may ask what nobody knew of; a task that is declared asks nothing by itself."""
    command = replace(PLAIN, origin="carts (Django)")
    assert unasked(command, yes=True) == "--yes"
    assert unasked(command, yes=False) == unasked(PLAIN, yes=True) == NOT_NEEDED


def test_an_environment_in_kubernetes_is_not_this_process() -> None:
    """It is refused with the way to its Job, unless somebody says that this is the pod."""
    away = replace(PRODUCTION, kubernetes=KubernetesSettings())
    with pytest.raises(Refused) as caught:
        check_place(away, here=False)
    assert "oneoff run TASK --env production" in caught.value.next_step
    check_place(away, here=True)
    check_place(PRODUCTION, here=False)
