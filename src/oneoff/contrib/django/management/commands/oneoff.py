"""``manage.py oneoff …``: all of oneoff's own command line, in a Django that has started already."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser
from pathlib import Path
from typing import Any

import click
from django.core.management.base import BaseCommand

from oneoff.cli.main import main


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Hands every word behind ``oneoff`` on."""

    help = "Run admin tasks safely: previewed, confirmed, recorded."
    requires_system_checks: tuple[str, ...] = ()  # a task's own command has its checks

    def run_from_argv(self, argv: list[str]) -> None:
        """From the command line: Django's parser would take options that are oneoff's."""
        program = Path(argv[0]).name
        click.Group(program, commands={"oneoff": main})(argv[1:], prog_name=program)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """For ``call_command("oneoff", "run", …)``."""
        parser.add_argument("words", nargs=REMAINDER)

    def handle(self, *, words: list[str], **_: Any) -> None:
        """Raises SystemExit with oneoff's exit code."""
        main(words, prog_name="oneoff")
