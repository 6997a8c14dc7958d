from __future__ import annotations

from typing import Any

import pytest

from oneoff.errors import AppBroken, InvalidDeclaration, TaskNotFound
from oneoff.tasks.registry import LeftOut, Registry, task_name
from oneoff.tasks.task import Task


def purge() -> None: ...
def other() -> None: ...


def registry(*names: str) -> Registry:
    result = Registry("shop", database="sqlite://", version="1.2")
    for name in names:
        result.add(Task(name=task_name(name), function=purge))
    return result


def test_tasks_are_held_by_name_and_sorted() -> None:
    """Iteration is by name, whatever the order of declaration."""
    tasks = registry("purge", "export", "db:migrate")
    assert [task.name for task in tasks] == ["db:migrate", "export", "purge"]
    assert len(tasks) == 3
    assert "purge" in tasks
    assert "urge" not in tasks
    assert (tasks.name, tasks.database, tasks.version) == ("shop", "sqlite://", "1.2")


def test_a_name_is_found_however_it_is_spelled() -> None:
    """The function's own name finds its task."""
    tasks = registry("migrate_data")
    assert tasks.get("migrate-data") is tasks.get("migrate_data") is tasks.get("Migrate-Data")


def test_an_unknown_name_suggests_the_nearest() -> None:
    """A typing mistake is answered with what was meant, and with the way to the whole list."""
    with pytest.raises(
        TaskNotFound, match=r"there is no task 'migrate-dta'; did you mean migrate-data\?"
    ) as caught:
        registry("migrate_data", "purge").get("migrate-dta")
    assert "oneoff tasks" in caught.value.next_step
    with pytest.raises(TaskNotFound) as caught:
        registry("purge").get("\x1bxyz")
    assert caught.value.message == r"there is no task '\x1bxyz'"


def test_two_tasks_of_one_name_are_refused_with_both_places() -> None:
    """The message says where each of them is, function or settings."""
    tasks = registry("purge")
    with pytest.raises(InvalidDeclaration) as caught:
        tasks.add(Task(name=task_name("purge"), function=other))
    line = other.__code__.co_firstlineno
    assert f"purge ({__file__}:{purge.__code__.co_firstlineno}) and other ({__file__}:{line})" in str(
        caught.value
    )
    with pytest.raises(InvalidDeclaration, match=r"and \[tool\.oneoff\.tasks\.purge\]"):
        tasks.add(Task(name=task_name("purge"), command=("true",)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("migrate_data", "migrate-data"),
        ("_import_", "import"),
        ("db:migrate", "db:migrate"),
        ("shop.purge_old", "shop.purge-old"),
        ("a__b", "a--b"),
        ("step2", "step2"),
        ("x" * 63, "x" * 63),
    ],
)
def test_names_that_fit(text: str, expected: str) -> None:
    """Underscores become dashes, and namespaces are kept."""
    assert task_name(text) == expected


@pytest.mark.parametrize(
    "text", ["", "_", "größe", "Purge", "a b", "-a", "a-", "a:", ":a", "a..b", "a/b", "x" * 64, "a\n"]
)
def test_names_that_do_not_fit(text: str) -> None:
    """A name has to fit Kubernetes and URLs: the message says what it is made of."""
    with pytest.raises(
        InvalidDeclaration, match="cannot name a task: a name has at most 63 of the letters a-z"
    ):
        task_name(text)


def test_the_name_of_raw_commands_is_taken() -> None:
    """A task `exec` could not be told from `oneoff exec` in the records."""
    with pytest.raises(InvalidDeclaration, match="raw commands"):
        Registry("shop").add(Task(name=task_name("exec"), function=print))


@pytest.mark.parametrize("private", [["email"], [".email"], ["customers."], "customers.email"])
def test_a_private_column_has_a_table(private: Any) -> None:
    """What names no column would protect none, in silence."""
    with pytest.raises(InvalidDeclaration, match="names no column"):
        Registry("shop", private=private)


def test_what_is_offered_gives_way() -> None:
    """A framework's command of a name that is taken is no task, and the one that is says what it hides."""
    tasks = registry("purge")
    for origin in ("carts (Django)", "site (Flask)"):
        tasks.offer(Task(name=task_name("purge"), function=other, origin=origin))
    tasks.offer(Task(name=task_name("export"), function=other, origin="carts (Django)"))
    assert [task.name for task in tasks] == ["export", "purge"]
    assert tasks.get("purge").function is purge
    assert tasks.get("purge").hides == ("carts (Django)", "site (Flask)")


def test_what_is_found_twice_is_one() -> None:
    """One app's command that was found in two ways hides nothing."""
    tasks = registry()
    for _ in range(2):
        tasks.offer(Task(name=task_name("purge"), function=purge, origin="carts (Django)"))
    assert tasks.get("purge").hides == ()


def test_what_was_left_out() -> None:
    """Who asks for it hears why it is no task, with what it raised where it did."""
    tasks = registry("purge")
    cause = ImportError("no luck")
    tasks.left_out = (
        LeftOut(name="old_one", why="cannot be loaded", error=cause),
        LeftOut(name="shell", why="is hidden"),
    )
    with pytest.raises(AppBroken, match="old-one: cannot be loaded") as caught:
        tasks.get("old-one")
    assert caught.value.__cause__ is cause
    with pytest.raises(TaskNotFound, match="shell: is hidden"):
        tasks.get("shell")
