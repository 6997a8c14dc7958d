"""What stands for a run's context where a command is called without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Log:
    """Keeps the lines."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def info(self, message: str, **fields: Any) -> None:
        """Keep one."""
        self.lines.append({"message": message, **fields})


@dataclass
class Asked:
    """A run: confirmed unless the test says otherwise."""

    dry_run: bool = False
    confirmed: bool = True
    log: Log = field(default_factory=Log)
