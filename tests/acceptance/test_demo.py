"""The demo that newcomers run first."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import demo

EXAMPLE = Path(demo.__file__).parent


def play(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the demo of a copy of the example, without a terminal."""
    return subprocess.run(
        [sys.executable, folder / "demo.py"],
        cwd=folder.parent,
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def call(folder: Path, command: str) -> int:
    """The exit code of a command that the demo leaves its reader with."""
    program, *arguments = shlex.split(command)
    return subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode


@pytest.mark.timeout(180)
def test_the_demo_tells_its_story_twice(tmp_path: Path) -> None:
    """It ends well, again on a second run, and heeds no setting that is about something else."""
    folder = tmp_path / "flights"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", ".oneoff", "__pycache__"))
    elsewhere = {"ONEOFF_STORE": "/nonexistent/store.db", "FLIGHTS_DATABASE_URL": "nonsense://"}
    first = play(folder, **elsewhere)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Loaded 336,776 flights" in first.stdout
    assert "27,004" in first.stdout or "27004" in first.stdout
    assert "$ oneoff audit verify" in first.stdout
    assert "Now you" in first.stdout
    assert (folder / "data" / "outbox.txt").read_text() == "purged 27,004 flights before 2013-02-01\n"

    assert [call(folder, command) for _, command in demo.NEXT] == [0, 3, 0]

    second = play(folder)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "The flights are loaded already." in second.stdout
    assert "Starting afresh" in second.stdout


def test_the_demo_stops_where_a_step_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit code is that of the step, and the steps behind it are not played."""
    monkeypatch.setattr(demo, "prepare", lambda _heading: 0)
    monkeypatch.setattr(
        demo, "STEPS", (("Bad", "python -c 'raise SystemExit(7)'"), ("Never", "python -c 'print(1)'"))
    )
    assert demo.main() == 7
    shown = capsys.readouterr()
    assert "Never" not in shown.out
    assert "exit code 7" in shown.err
