"""Asks the person at the terminal."""

from __future__ import annotations

import sys

import click


class TerminalAsker:
    """Implements :class:`oneoff.protocols.Asker`; no answer is a no."""

    @property
    def interactive(self) -> bool:
        return sys.stdin is not None and sys.stdin.isatty()

    def confirm(self, question: str) -> bool:
        try:
            return click.confirm(question, err=True)
        except click.Abort:
            return False

    def text(self, prompt: str) -> str:
        try:
            return str(click.prompt(prompt, err=True, default="", show_default=False))
        except click.Abort:
            return ""

    def secret(self, prompt: str) -> str:
        try:
            return str(click.prompt(prompt, err=True, hide_input=True))
        except click.Abort:
            return ""
