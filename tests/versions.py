"""Another version of a library than the one in the lock, for tests that run in a process of its own.

It is installed once, beside this environment's own libraries, from a file with hashes; it comes first on the
path of whoever gets the variables that :func:`environ_with` gives.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("requirements")


def environ_with(name: str) -> dict[str, str]:
    """The variables for a process with the libraries of ``requirements/NAME.txt`` over those of the lock."""
    return {**os.environ, "PYTHONPATH": str(_installed(_REQUIREMENTS / f"{name}.txt"))}


def _installed(requirements: Path) -> Path:
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    place = Path(sys.prefix) / "other-versions" / f"{requirements.stem}-{digest}"
    place.parent.mkdir(exist_ok=True)
    with place.with_name(f"{place.name}.lock").open(
        "w"
    ) as lock:  # two workers of pytest-xdist may come at once
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of pytest-xdist may come at once
        if not place.exists():
            half = place.with_name(f"{place.name}.half")
            shutil.rmtree(half, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pinned: list[str | Path] = ["--no-deps", "--require-hashes", "--target", half, "-r", requirements]
            subprocess.run([*pip, *pinned], check=True)
            half.rename(place)
    return place
