"""A command's own questions: whether it asks any, and their answers while it runs.

Once a run is confirmed, or is a dry run, a question for yes or no is answered with yes, and one with a
default with its default. Whatever else is asked cannot be answered: the command fails, and never waits.
"""

from __future__ import annotations

import ast
import builtins
import getpass
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

from click import _termui_impl, termui

from oneoff.errors import CommandFailed
from oneoff.frameworks.found import RunOfTask

_CLICK = {"confirm": termui.confirm, "prompt": termui.prompt}
_ASKING = frozenset({*_CLICK, "input", "getpass"})
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_Y = re.compile(r"\by\b", re.IGNORECASE)


def question_of(functions: Iterable[FunctionType]) -> tuple[bool, str | None]:
    """Whether these functions, or those of their package that they call, ask something; and what, if known.

    Read from the code, so that a question is known before anything runs. One that is not found here is met
    when it is asked.
    """
    asks, seen, waiting = False, set[CodeType](), list(functions)
    while waiting:
        function = waiting.pop()
        if function.__code__ in seen:
            continue
        seen.add(function.__code__)
        names = set(_names(function.__code__))
        if names & _ASKING or any(_click_asker(function, name) for name in names):
            for text in _asked_in(function):
                if text is not None:
                    return True, text
                asks = True
        waiting += [called for name in names if (called := _own_function(function, name))]
    return asks, None


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _own_function(function: FunctionType, name: str) -> FunctionType | None:
    called = function.__globals__.get(name)
    if not isinstance(called, FunctionType):
        return None
    package = function.__module__.partition(".")[0]
    return called if called.__module__.partition(".")[0] == package else None


def _click_asker(function: FunctionType, name: str) -> str | None:
    """Which of Click's two this name is in the function's module, whatever it is called there."""
    found = function.__globals__.get(name)
    return next((known for known, asker in _CLICK.items() if found is asker), None)


def _asked_in(function: FunctionType) -> Iterator[str | None]:
    """For each question in the function's source: its text, or None where that is made when it runs."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        yield None  # it cannot be read: better one confirmation too many
        return
    for node in ast.walk(tree):
        asked = _asked_by(node, function) if isinstance(node, ast.Call) else None
        if asked:
            arguments = node.args  # type: ignore[attr-defined]  # a Call, as above
            text = arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else None
            yield text if asked == "confirm" and isinstance(text, str) else None


def _asked_by(call: ast.Call, function: FunctionType) -> str | None:
    match call.func:
        case ast.Name(id="input"):
            return "input"
        case ast.Attribute(value=ast.Name(id="click"), attr=("confirm" | "prompt") as name):
            return name
        case ast.Attribute(value=ast.Name(id="getpass"), attr="getpass"):
            return "getpass"
        case ast.Name(id=name):
            return _click_asker(function, name)
    return None


@contextmanager
def answering(run: RunOfTask) -> Iterator[None]:
    """In the block the command's questions are answered, as the module's own text says."""
    places: list[tuple[Any, str, _Reader]] = [
        (builtins, "input", _of_input),
        (getpass, "getpass", _of_anything),
        (termui, "visible_prompt_func", _of_click),
        (termui, "hidden_prompt_func", _of_click),
        (termui, "_getchar", _of_key),
        (_termui_impl, "Editor", _of_editor),  # click.edit: an editor waits for ever where nobody is
    ]
    with ExitStack() as stack:
        for holder, name, read in places:
            original = getattr(holder, name)
            setattr(holder, name, _Asker(run, original, read))
            stack.callback(setattr, holder, name, original)
        yield


_Question = tuple[str, str | None]
"""Its text, and its answer; None where a confirmation is none."""
_Reader = Callable[[FrameType, str], _Question]
"""Reads a question from the frame that asks it and from the prompt that is given there."""


class _Asker:
    """Stands where a command would wait for an answer."""

    def __init__(self, run: RunOfTask, original: Callable[..., Any] | None, read: _Reader) -> None:
        self._run = run
        self._original = original
        self._read = read

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        text, answer = self._read(sys._getframe(1), str(args[0]).strip() if args else "")
        if not (self._run.dry_run or self._run.confirmed):
            if sys.stdin is not None and sys.stdin.isatty():
                return (self._original or _termui_impl.getchar)(*args, **kwargs)
            raise CommandFailed(
                f"the command asks, and nobody can be asked: {text}", next_step="--yes answers it"
            )
        if answer is None:
            raise CommandFailed(
                f"the command asks for something that a confirmation does not answer: {text}",
                next_step="give it as an option, if the command has one for it",
            )
        by = "dry run" if self._run.dry_run else "confirmation"
        self._run.log.info("answered", question=text, answer=answer or "its default", by=by)
        return answer


def _of_anything(_: FrameType, prompt: str) -> _Question:
    return prompt, None


def _of_key(_: FrameType, __: str) -> _Question:
    return "a key", None


def _of_editor(_: FrameType, __: str) -> _Question:
    return "a text, in an editor", None


def _of_input(_: FrameType, prompt: str) -> _Question:
    """Nothing but its text says what may be answered to ``input()``."""
    return prompt, "yes" if _YES.search(prompt) else "y" if _Y.search(prompt) else None


def _of_click(frame: FrameType | None, prompt: str) -> _Question:
    """``click.confirm`` and ``click.prompt`` are told apart by their frames."""
    codes = {function.__code__: name for name, function in _CLICK.items()}
    while frame is not None and frame.f_code not in codes:
        frame = frame.f_back
    if frame is None:
        return prompt, None
    text, default = str(frame.f_locals.get("text", prompt)), frame.f_locals.get("default")
    if codes[frame.f_code] == "confirm":
        return text, "y"
    return text, None if default is None or frame.f_locals.get("hide_input") else ""
