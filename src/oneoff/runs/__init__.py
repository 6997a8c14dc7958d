"""A run: its record, its status and how it may change. Pure data, no I/O."""

from __future__ import annotations
