"""One run inside its own process: the lease, the task, the signals, the outcome. Imports no adapter."""

from __future__ import annotations
