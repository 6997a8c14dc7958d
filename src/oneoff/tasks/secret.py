"""A value that a task may use and nobody may see."""

from __future__ import annotations

from typing import Any, Final, NoReturn, final

SECRET_MARK: Final = "********"
"""Stands for a secret wherever parameters are recorded or shown, whatever its length."""


@final
class Secret:
    """A piece of text that never shows itself: not printed, formatted, logged, pickled or made into JSON.

    The task asks for it by :meth:`reveal`. Two secrets compare in constant time, so that the time taken says
    nothing about where they differ.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text itself. Hand it on at once.

        What oneoff records or prints of the run is searched for it: errors, tracebacks, log lines, the report
        of a dry run. What the task prints by itself is not, nor what was made of it (base64, a hash, a part).
        """
        return self.__text

    def __repr__(self) -> str:
        return f"Secret({SECRET_MARK!r})"

    def __str__(self) -> str:
        return SECRET_MARK

    def __format__(self, spec: str) -> str:
        return format(SECRET_MARK, spec)

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        from hmac import compare_digest  # loads OpenSSL, which a start without secrets need not pay for

        return compare_digest(_bytes(self.__text), _bytes(other.__text))

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pass on what it reveals, by a channel that you trust")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a Secret does not give its state away")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
