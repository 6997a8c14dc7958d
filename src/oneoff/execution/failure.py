"""How an exception of the user's code is told: their frames, none of ours."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from oneoff.errors import AppBroken, OneoffError
from oneoff.tasks.masking import NO_SECRETS, Mask

_OURS = str(Path(__file__).parent.parent)
_LOADERS = ("<frozen importlib", "/importlib/", "/runpy.py")


def summary(error: BaseException, mask: Mask = NO_SECRETS) -> str:
    """One line for people: the class and the first line of the message."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        first = mask(str(error)).strip().partition("\n")[0]
    except BaseException:  # a broken __str__ must not hide that the task failed
        first = ""
    return f"{name}: {first}"[:500] if first else name


def in_words(error: OneoffError) -> str:
    """One of our errors for a record; of an app that cannot be loaded, with what it raised."""
    cause = error.__cause__ if isinstance(error, AppBroken) else None
    return error.message if cause is None else f"{error.message}: {summary(cause)}"


def own_traceback(error: BaseException, mask: Mask = NO_SECRETS) -> str:
    """The traceback as Python prints it, without the frames of oneoff and of the import system."""
    import traceback  # only a failure needs it

    try:
        for link in _chain(error):
            link.__traceback__ = _without_ours(link.__traceback__)
        return mask("".join(traceback.format_exception(error)))
    except BaseException as broken:  # an exception of the user's may be broken in any way
        return f"{summary(error, mask)}\n(its traceback cannot be shown: {summary(broken, mask)})\n"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and all(link is not other for other in found):
            found.append(link)
            waiting += [link.__cause__, link.__context__]
            waiting += link.exceptions if isinstance(link, BaseExceptionGroup) else ()
    return found


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Leave out our frames, also those below the user's (``ctx.effect``); a loop, for deep recursions."""
    links = []
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(_OURS) and not any(part in name for part in _LOADERS):
            links.append(trace)
        trace = trace.tb_next
    kept: TracebackType | None = None
    for link in reversed(links):
        kept = TracebackType(kept, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return kept
