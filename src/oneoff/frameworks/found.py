"""What was found in a project, and what of it is the project's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, update_wrapper
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Protocol

from oneoff.errors import AppBroken, InvalidDeclaration, OneoffError
from oneoff.tasks.registry import LeftOut, task_name
from oneoff.tasks.task import RAW, Task
from oneoff.types import TaskName

_INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, kw_only=True)
class Found:
    """The commands of one framework."""

    tasks: tuple[Task, ...]
    left_out: tuple[LeftOut, ...] = ()
    database: Any = None
    """A handle, or several; None where the framework does not know of one."""
    context: Callable[[], AbstractContextManager[Any]] | None = None
    """Gives the block in which the app knows its databases, where it needs one."""


class RunOfTask(Protocol):
    """What a framework's command needs of the run's context."""

    dry_run: bool
    confirmed: bool
    log: Any


@dataclass(frozen=True)
class Project:
    """Tells the project's own code from a framework's and a library's."""

    root: Path
    package: str = ""
    """The top-level package of its settings or of its app: its own wherever that is installed."""
    include: tuple[str, ...] = ()
    """Patterns of commands that are wanted whoever they belong to."""

    def owns(self, module: str, file: str | None) -> bool:
        """Whether a module is the project's: in its package, or in its folder and not installed there."""
        if self.package and module.partition(".")[0] == self.package:
            return True
        if file is None:
            return False
        path, root = Path(file).resolve(), self.root.resolve()
        return path.is_relative_to(root) and not _INSTALLED & set(path.relative_to(root).parts)

    def wants(self, command: str) -> bool:
        """Whether the settings name a command that is not the project's own."""
        return any(fnmatchcase(command, pattern) for pattern in self.include)

    def modules(self) -> Iterator[ModuleType]:
        """Its modules that are loaded."""
        for name, module in list(sys.modules.items()):
            if self.owns(name, getattr(module, "__file__", None)):
                yield module


@contextmanager
def own_code(words: str, *, next_step: str = "") -> Iterator[None]:
    """The app's own code runs in the block. Whatever it raises, no task has run: AppBroken says so."""
    try:
        yield
    except OneoffError:
        raise  # a declaration that cannot work says itself where and why
    except KeyboardInterrupt as error:  # raised by the app, or by somebody's Ctrl-C meanwhile
        raise AppBroken(f"{words}: interrupted, nothing ran") from error
    except BaseException as error:
        raise AppBroken(words, next_step=next_step) from error


def importable(root: Path) -> None:
    """Let the project's modules be imported; a src layout need not be installed."""
    for folder in (root / "src", root):
        if folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def name_of(command: str) -> TaskName:
    """The task's name for a command.

    Raises:
        InvalidDeclaration: it could not name a task.
    """
    name = task_name(command.lower())
    if name == RAW:
        raise InvalidDeclaration(f"no task can be called {RAW}: raw commands are recorded under that name")
    return name


def made(names: Iterable[str], make: Callable[[str], Task]) -> tuple[list[Task], list[LeftOut]]:
    """A task for each command. One that cannot be loaded does not take the others with it."""
    tasks: list[Task] = []
    left_out: list[LeftOut] = []
    for name in names:
        try:
            name_of(name)
            tasks.append(make(name))
        except InvalidDeclaration as error:
            left_out.append(LeftOut(name=name, why=error.message))
        except (Exception, SystemExit) as error:
            left_out.append(LeftOut(name=name, why="the command cannot be loaded", error=error))
    return tasks, left_out


def traced(call: Callable[..., None], code: FunctionType | None) -> Callable[..., None]:
    """What calls a command, with the command's own code behind it; where that is unknown, with none."""
    return partial(call) if code is None else update_wrapper(call, code)


def code_of_module(module: ModuleType) -> FunctionType | None:
    """A function that stands for the code of a whole module; None where that is in no file."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    code: CodeType = compile("", file, "exec")
    return FunctionType(code, vars(module), module.__name__)
