"""The demo that `make demo` runs: preview a purge of real flights, run it, and read what was recorded.

It always starts from the same state, in its own data folder, whatever the environment says.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
LOADED = DATA / "loaded.db"
"""The flights as they were loaded; every demo works on a copy."""
BIN = Path(sys.executable).parent

STEPS = (
    ("The admin tasks of this app", "oneoff tasks"),
    ("What would a purge of January do?", "oneoff run purge-flights --before 2013-02-01 --dry-run"),
    ("Nothing was written. Now for real", "oneoff run purge-flights --before 2013-02-01 --yes"),
    ("What is known of that run", "oneoff show @latest"),
    ("Who did what, and when", "oneoff audit log"),
    ("Has anybody changed that log?", "oneoff audit verify"),
)

NEXT = (
    ("a preview of another task", "oneoff run merge-carriers --source FL --into WN --dry-run"),
    (
        "the same purge, refused in production",
        "oneoff run purge-flights --before 2013-03-01 --env production --here",
    ),
    ("a task that is no Python", "oneoff run check-data"),
)


def main() -> int:
    """Play the story; the exit code of the first step that fails, else 0."""
    bold, reset = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    if failed := prepare(f"{bold}The real data{reset}"):
        return failed
    for number, (heading, command) in enumerate(STEPS, start=1):
        print(f"\n{bold}{number}. {heading}{reset}\n$ {command}", flush=True)
        if failed := call(command):
            print(f"\nThe demo stopped: `{command}` ended with exit code {failed}.", file=sys.stderr)
            return failed
    print(f"\n{bold}Now you{reset}")
    print(f"$ . {shlex.quote(str(BIN / 'activate'))} && cd {shlex.quote(str(HERE))}")
    width = max(len(command) for _, command in NEXT)
    for what, command in NEXT:
        print(f"$ {command:<{width}}  # {what}")
    return 0


def prepare(heading: str) -> int:
    """Load the flights if they are not there, and put copy and records back to the start."""
    print(heading, flush=True)
    if failed := call("python -m flights.load", FLIGHTS_DATABASE_URL=f"sqlite:///{LOADED}"):
        print("\nThe demo stopped: the flights could not be loaded.", file=sys.stderr)
        return failed
    shutil.copyfile(LOADED, DATA / "flights.db")
    records = HERE / ".oneoff"
    if records.exists():
        shutil.rmtree(records)
        print("Starting afresh: a new copy of the data, and the records of the last demo removed.")
        # Whoever played it before has seen another audit log here, and would be refused.
        return call("oneoff audit accept --yes --reason 'the demo starts afresh'")
    return 0


def call(command: str, **environ: str) -> int:
    """Run one command of this venv in the example's folder, without a terminal to ask."""
    program, *arguments = shlex.split(command)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ONEOFF_", "FLIGHTS_"))}
    ended = subprocess.run(
        [BIN / program, *arguments], cwd=HERE, env=kept | environ, stdin=subprocess.DEVNULL, check=False
    )
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
