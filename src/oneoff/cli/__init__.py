"""The command line: parse, call one verb, print. No decision is made here."""

from __future__ import annotations
