"""How a Job goes on: its log, what keeps it, and the verdict on how it ended."""

from __future__ import annotations
