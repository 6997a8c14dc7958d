"""What a dry run leaves in force for the threads that a task left behind."""

from __future__ import annotations

import threading


def let_go() -> None:
    """Wait until it is taken away; those threads have to be gone."""
    for guard in [each for each in threading.enumerate() if each.name == "oneoff-guard"]:
        guard.join()
