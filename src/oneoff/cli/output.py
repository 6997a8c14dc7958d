"""How results look: aligned text for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from textwrap import indent
from typing import Any

import click

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="For people or programs."
)


def emit(document: Any, text: Callable[[], str], output: str) -> None:
    """Print one result in the form that was asked for; the text is made only where it is wanted."""
    if output == "json":
        # JSON is UTF-8 whatever the locale (RFC 8259); half a surrogate pair stays as its escape.
        click.echo(json.dumps(document, indent=2, ensure_ascii=False).encode(errors="backslashreplace"))
    else:
        click.echo(text())


def emit_each(documents: Iterable[Any]) -> None:
    """A list as :func:`emit` prints it in JSON, each element as soon as it is there."""
    before = "[\n"
    for document in documents:
        text = indent(json.dumps(document, indent=2, ensure_ascii=False), "  ", lambda _: True)
        click.echo((before + text).encode(errors="backslashreplace"), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def long_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, page: int) -> Iterator[str]:
    """A table in pieces; a column may become wider with the next one, and never narrower."""
    remaining, widths = iter(rows), [len(heading) for heading in headings]
    head = [list(headings)]
    while cells := [[visible(cell) for cell in row] for row in islice(remaining, page)]:
        widths = [max(width, *(len(row[n]) for row in cells)) for n, width in enumerate(widths)]
        yield _aligned(head + cells, widths)
        head = []


def _aligned(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [list(headings), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return _aligned(cells, widths)


def fields(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values below each other; an empty value is left out."""
    shown = [(name, visible(value)) for name, value in rows if value not in (None, "", (), [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown)


def visible(value: object) -> str:
    """Text in which no control character reaches the terminal."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local(value)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))


def local(moment: datetime) -> str:
    """A time for people: their own zone, named by its offset."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S%z")


def duration(milliseconds: int | None) -> str:
    """A duration for people."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
