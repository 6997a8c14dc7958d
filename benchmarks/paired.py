"""Times whole processes in turn, A B C A B C …, and compares them pair by pair."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROUNDS = 25
WARM_UPS = 2


def timings(
    commands: Mapping[str, Sequence[str]], *, folder: Path, rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Seconds of wall time of each command in each round; a command that fails ends the benchmark."""
    for _ in range(WARM_UPS):
        for command in commands.values():
            _seconds(command, folder)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(_seconds(command, folder))
    return taken


def ratio(taken: Mapping[str, Sequence[float]], name: str, to: str) -> float:
    """The median of the ratios, round by round: what slows a whole round down does not count."""
    return statistics.median(a / b for a, b in zip(taken[name], taken[to], strict=True))


def _seconds(command: Sequence[str], folder: Path) -> float:
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environ)
    return time.perf_counter() - start
