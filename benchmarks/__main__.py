"""``make bench``: prints every figure with its limit, and fails where one is exceeded."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import append, dryrun, following, launching
from benchmarks.paired import ratio, timings

BARE_CLICK = """\
import click


@click.group()
@click.option("--app", help="Where the app is.")
@click.version_option("1")
def main(app: str | None) -> None:
    \"\"\"A bare click program.\"\"\"


@main.command()
@click.option("--dry-run", is_flag=True)
def run(dry_run: bool) -> None:
    \"\"\"Run a task.\"\"\"


if __name__ == "__main__":
    main()
"""

NOOP_APP = """\
import oneoff

admin = oneoff.App("bench")


@admin.task
def noop() -> None:
    \"\"\"Do nothing.\"\"\"
"""


def main() -> int:
    """Measure, print, and say by the exit code whether every limit holds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bare.py").write_text(BARE_CLICK)
        (folder / "noop_app.py").write_text(NOOP_APP)
        (folder / "oneoff.toml").write_text('[tool.oneoff]\napp = "noop_app:admin"\n')
        taken = timings(_commands(), folder=folder)
    for command, seconds in taken.items():
        print(f"{command:24} median {statistics.median(seconds) * 1000:7.1f} ms")
    limits = [
        ("oneoff --help", "bare click --help", 1.3),
        ("oneoff run noop", "bare click --help", 3.0),
        ("oneoff run noop", "flask --help", 1.0),
    ]
    speeds = [_compare(ratio(taken, name, to), name, to, limit) for name, to, limit in limits]
    return max(*speeds, append.main(), dryrun.main(), following.main(), launching.main())


def _commands() -> dict[str, list[str]]:
    bin_folder = Path(sys.executable).parent
    return {
        "bare click --help": [sys.executable, "bare.py", "--help"],
        "oneoff --help": [str(bin_folder / "oneoff"), "--help"],
        "oneoff run noop": [str(bin_folder / "oneoff"), "run", "noop"],
        "flask --help": [str(bin_folder / "flask"), "--help"],
    }


def _compare(measured: float, name: str, to: str, limit: float) -> int:
    held = measured <= limit
    print(f"{name} is {measured:.2f} × {to}, limit {limit:.2f}: {'holds' if held else 'EXCEEDED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
