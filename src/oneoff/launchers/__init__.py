"""Start a run's process, and know afterwards whether it still lives."""

from __future__ import annotations
