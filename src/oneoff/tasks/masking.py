"""Takes the secrets of a run out of every text that oneoff records or prints about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from oneoff.tasks.secret import SECRET_MARK, Secret
from oneoff.types import JSON

_LINE = 6
"""A line of a longer secret, such as a key file, is masked by itself from this many characters on."""
_PIECE = 3
"""Less of a secret than this stays where a text was cut: else ordinary words before dots would be masked, and
show which letter a secret begins with."""
_CUT = re.compile(r" ?(?:…|\.{3,}|\*{3,}) ?")
"""Where somebody left out a part: what is beside it may be the rest of a secret."""


class Mask:
    """Puts :data:`SECRET_MARK` in the place of certain texts, wherever they stand in another.

    Each is found as it is, line by line, and as it looks in Python's repr, in JSON, in a URL and in an SQL
    literal; also its beginning before the mark of a cut (``…``, ``...``, ``***``), and its end behind one.
    What was encoded or changed in other ways is not found. What is masked already stays as it is.
    """

    __slots__ = ("_forms",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Empty texts are ignored; a very short one garbles what is masked, and is masked all the same."""
        self._forms = tuple({form for text in texts for form in _forms(text)})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Mask:
        """For the secrets among the values of a run's parameters."""
        return cls(value.reveal() for value in values.values() if isinstance(value, Secret))

    def __call__(self, text: str) -> str:
        """The text with every secret masked. Mask before you cut: half a one is found beside dots alone."""
        while (masked := self._once(text)) != text:  # a mark and what follows it may make a secret of stars
            text = masked
        return text

    def document(self, value: JSON) -> JSON:
        """JSON with every secret masked, in names as in values; a number that holds one becomes the mark."""
        if not self._forms:
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {self(name): self.document(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.document(item) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        return SECRET_MARK if self(str(value)) != str(value) else value

    def _once(self, text: str) -> str:
        kept, end = list[str](), 0
        for start, stop in _merged(self._found(text)):
            kept.append(text[end:start])
            end = stop
        if not kept:
            return text
        # Stars beside a mark go: together they might be more of a secret than the mark.
        first, *between = kept
        pieces = (first.rstrip("*"), *(piece.strip("*") for piece in between), text[end:].lstrip("*"))
        return SECRET_MARK.join(pieces)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)
            yield from _pieces(form, text)


NO_SECRETS = Mask()
"""Changes nothing."""


def _pieces(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a beginning of the form stands before the mark of a cut, or an end of it behind one."""
    for cut in _CUT.finditer(text):
        start, stop = cut.span()
        for place in _places(text[max(start - _PIECE, 0) : start], form, 0, start):
            length = place + _PIECE
            if text.endswith(form[:length], 0, start):
                yield start - length, start
        for place in _places(text[stop : stop + _PIECE], form, len(form) - (len(text) - stop), len(form)):
            if text.startswith(form[place:], stop):
                yield stop, stop + len(form) - place


def _places(piece: str, form: str, low: int, high: int) -> Iterator[int]:
    """Where in this part of the form a piece of full length stands."""
    place = form.find(piece, max(low, 0), high) if len(piece) == _PIECE else -1
    while place >= 0:
        yield place
        place = form.find(piece, place + 1, high)


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap or touch made one."""
    merged = list[tuple[int, int]]()
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _forms(text: str) -> Iterator[str]:
    lines = (line.strip() for line in text.splitlines())
    for part in {text, text.strip(), *(line for line in lines if len(line) >= _LINE)} - {""}:
        yield from _written(part)


def _written(text: str) -> Iterator[str]:
    """The text as others write it."""
    import json  # only a run with a secret needs them
    from urllib.parse import quote, quote_plus

    yield text
    # With a double quote in it, Python puts single ones around a text, and escapes those inside.
    quoted = '"' + text
    for escaped in (repr(quoted)[2:-1], ascii(quoted)[2:-1], repr(quoted.encode(errors="replace"))[3:-1]):
        yield from (escaped, escaped.replace("\\'", "'"))
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (quote(text, errors="replace"), quote(text, safe="", errors="replace"))
    yield quote_plus(text, errors="replace")
    yield text.replace("'", "''")
