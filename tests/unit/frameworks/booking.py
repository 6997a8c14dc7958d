"""A class with a method that is called as Click's question is."""

from __future__ import annotations


class Booking:
    """Something that can be confirmed."""

    def confirm(self, text: str) -> str:
        """Not a question."""
        return text
