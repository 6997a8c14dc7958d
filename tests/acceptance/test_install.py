"""What a user installs is whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_package_installs_from_the_clone(tmp_path: Path) -> None:
    """Pip builds and installs it, the command starts from there, and the types and SQL files come along."""
    target = tmp_path / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"),
            *("--no-deps", "--no-build-isolation", "--target", target, PROJECT),
        ],
        check=True,
    )
    ended = subprocess.run(
        [sys.executable, target / "bin" / "oneoff", "--version"],
        env=os.environ | {"PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.startswith("oneoff, version ")
    installed = {path.relative_to(target) for path in target.rglob("*") if path.suffix in {".sql", ".typed"}}
    source = {path.relative_to(PROJECT / "src") for path in (PROJECT / "src").rglob("*.sql")}
    assert installed == source | {Path("oneoff/py.typed")}
