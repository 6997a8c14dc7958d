"""``ctx.log``: lines for people on a terminal, JSON lines everywhere else, on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any, TextIO

from oneoff.execution.terminal import printable
from oneoff.tasks.masking import NO_SECRETS, Mask
from oneoff.types import JSON, RunId, TaskName, rfc3339

_OWN_FIELDS = ("time", "level", "message", "run_id", "task")
_DEPTH = 6
_EXACT_BITS = 256  # a longer integer is shown as text: a JSON reader would round or refuse it


def _utc_now() -> datetime:
    return datetime.now(UTC)


class RunLogger:
    """Logs for one run. Configures nothing, knows nothing of :mod:`logging`, and never raises.

    ``log.info("deleting", before=day)`` and, as with :mod:`logging`, ``log.info("deleting %s", day)``; any
    level takes ``exc_info=True``. A value of any kind may be logged: what cannot be shown is named by its
    type, and control characters are escaped, so that no value can forge a line.
    """

    __slots__ = ("_as_text", "_fields", "_mask", "_now", "_run_id", "_stream", "_task")

    def __init__(
        self,
        *,
        run_id: RunId,
        task: TaskName,
        as_text: bool,
        stream: TextIO | None = None,
        now: Callable[[], datetime] = _utc_now,
        fields: Mapping[str, object] | None = None,
        mask: Mask = NO_SECRETS,
    ) -> None:
        """``stream`` is ``sys.stderr`` of the moment where none is given; ``mask`` goes over every word."""
        self._run_id = run_id
        self._task = task
        self._as_text = as_text
        self._stream = stream
        self._now = now
        self._fields = dict(fields or {})
        self._mask = mask

    def bind(self, **fields: object) -> RunLogger:
        """A logger that adds these fields to each of its lines."""
        return RunLogger(
            run_id=self._run_id,
            task=self._task,
            as_text=self._as_text,
            stream=self._stream,
            now=self._now,
            fields=self._fields | fields,
            mask=self._mask,
        )

    def debug(self, message: object, /, *args: object, **fields: object) -> None:
        """Something for whoever looks for a mistake."""
        self._log("debug", message, args, fields)

    def info(self, message: object, /, *args: object, **fields: object) -> None:
        """Something that happened as it should."""
        self._log("info", message, args, fields)

    def warning(self, message: object, /, *args: object, **fields: object) -> None:
        """Something that a person should look at some day."""
        self._log("warning", message, args, fields)

    def error(self, message: object, /, *args: object, **fields: object) -> None:
        """Something that went wrong."""
        self._log("error", message, args, fields)

    def exception(self, message: object, /, *args: object, **fields: object) -> None:
        """Something that went wrong, with the traceback of the exception that is being handled."""
        self._log("error", message, args, {"exc_info": True} | fields)

    def _log(self, level: str, message: object, args: tuple[object, ...], fields: dict[str, object]) -> None:
        with suppress(Exception):  # a line that cannot be written must not end the task
            fields = self._fields | fields
            error = _exception(fields.pop("exc_info", None))
            shown = {
                self._mask(name): self._mask.document(presentable(value)) for name, value in fields.items()
            }
            render = self._text if self._as_text else self._json
            self._write(render(level, self._mask(_filled_in(message, args)), shown, error))

    def _text(self, level: str, message: str, fields: dict[str, JSON], error: BaseException | None) -> str:
        words = [f"{self._now().astimezone():%H:%M:%S}"]
        if level != "info":
            words.append(level.upper())
        words += [
            printable(message),
            *(f"{printable(name)}={_word(value)}" for name, value in fields.items()),
        ]
        lines = [" ".join(words)]
        if error is not None:
            lines += [f"    {printable(line)}" for line in self._mask(_traceback(error)).splitlines()]
        return "\n".join(lines) + "\n"

    def _json(self, level: str, message: str, fields: dict[str, JSON], error: BaseException | None) -> str:
        own = (rfc3339(self._now()), level, message, str(self._run_id), str(self._task))
        document: dict[str, JSON] = dict(zip(_OWN_FIELDS, own, strict=True))
        for name, value in fields.items():
            document[f"{name}_" if name in _OWN_FIELDS else name] = value
        if error is not None:
            document["error"] = self._mask(f"{type(error).__name__}: {_as_string(error)}")
            document["traceback"] = self._mask(_traceback(error))
        return _json_text(document) + "\n"

    def _write(self, line: str) -> None:
        stream = self._stream or sys.stderr
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


def presentable(value: object, depth: int = _DEPTH) -> JSON:
    """Any value as JSON; never raises. Only exact built-in types are taken at their word.

    A subclass of ``str`` may mask itself in ``__str__`` (a secret does), so it is asked.
    """
    with suppress(Exception):
        return _as_json(value, depth)
    return _as_string(value)


def _as_json(value: object, depth: int) -> JSON:
    match value:
        case None | bool():
            return value
        case int() if type(value) is int and value.bit_length() <= _EXACT_BITS:
            return value
        case float() if type(value) is float and value - value == 0:  # neither infinite nor NaN
            return value
        case datetime() if value.tzinfo is not None:
            return rfc3339(value)
        case date() | time():
            return value.isoformat()
        case dict() if depth:
            return {_as_string(name): presentable(item, depth - 1) for name, item in value.items()}
        case list() | tuple() | set() | frozenset() if depth:
            return [presentable(item, depth - 1) for item in value]
    return _as_string(value)


def _as_string(value: object) -> str:
    for show in (repr,) if isinstance(value, bytes | bytearray) else (str, repr):
        with suppress(Exception):
            return show(value)
    return f"<{type(value).__name__} that cannot be shown>"


def _filled_in(message: object, args: tuple[Any, ...]) -> str:
    """The message with its arguments in the places that ``%`` marks, or after it where they do not fit."""
    text = _as_string(message)
    if not args:
        return text
    with suppress(Exception):
        named = len(args) == 1 and isinstance(args[0], Mapping)
        return text % (args[0] if named else args)
    return " ".join([text, *map(_as_string, args)])


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def _traceback(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _word(value: JSON) -> str:
    """A value on a line of words: in quotes where it would not read as one word."""
    if not isinstance(value, str):
        return _json_text(value)
    plain = value and not any(char.isspace() or char in '="' for char in value)
    return printable(value) if plain else _json_text(value)


def _json_text(value: JSON) -> str:
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
