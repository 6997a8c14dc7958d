from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import oneoff
from oneoff.cli.main import main
from oneoff.commands.schedules import upcoming
from oneoff.errors import InvalidDeclaration, InvalidSettings
from oneoff.settings import load
from oneoff.wiring.project import load_registry


def test_the_next_times_of_the_tasks_that_have_a_schedule() -> None:
    """They are in the zone of each schedule; a task without one is not there."""
    app = oneoff.App("shop")

    @app.task(schedule="0 2 * * *", time_zone="Europe/Berlin")
    def clean() -> None: ...

    @app.task
    def purge() -> None: ...

    (found,) = upcoming(app, datetime(2026, 7, 1, 12, tzinfo=UTC), 2)
    assert (found.task.name, found.schedule) == ("clean", "0 2 * * *")
    assert found.times == (datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 7, 3, tzinfo=UTC))


@pytest.mark.parametrize(
    ("schedule", "zone", "words"),
    [
        ("0 0 * * 7", "UTC", "clean: schedule '0 0 \\* \\* 7': weekday '7'"),
        ("0 0 31 2 *", "UTC", "it never comes"),
        ("@daily", "Europe/Berln", "no time zone 'Europe/Berln'"),
    ],
)
def test_a_schedule_that_cannot_work(schedule: str, zone: str, words: str) -> None:
    """It is refused where the task is declared."""
    app = oneoff.App("shop")
    with pytest.raises(InvalidDeclaration, match=words):

        @app.task(schedule=schedule, time_zone=zone)
        def clean() -> None: ...


def test_a_command_has_a_schedule_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the settings, and `oneoff schedules` lists it for people and for programs."""
    (tmp_path / "oneoff.toml").write_text(
        "[tool.oneoff.tasks.report]\n"
        'command = ["true"]\nschedule = "@every 12h"\ntime_zone = "Asia/Kolkata"\n'
        '[tool.oneoff.tasks.other]\ncommand = ["true"]\n'
    )
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(main, ["schedules", "--count", "2", "-o", "json"])
    (entry,) = json.loads(listed.stdout)
    first, second = map(datetime.fromisoformat, entry.pop("next"))
    assert entry == {
        "task": "report",
        "schedule": "@every 12h",
        "time_zone": "Asia/Kolkata",
        "surprises": [],
    }
    assert (second - first).total_seconds() == 12 * 3600
    text = CliRunner().invoke(main, ["schedules"]).stdout
    assert "@every 12h  Asia/Kolkata" in text
    assert text.count("+0530") == 3


def test_surprises_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, beside the list."""
    (tmp_path / "oneoff.toml").write_text(
        '[tool.oneoff.tasks.report]\ncommand = ["true"]\nschedule = "0 0 1 * 1"\n'
    )
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(main, ["schedules"])
    assert listed.stderr == "note: report: one is enough of the day of the month and the weekday\n"


def test_no_schedule_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to list is said in words, and an empty list to programs."""
    (tmp_path / "oneoff.toml").write_text('[tool.oneoff.tasks.other]\ncommand = ["true"]\n')
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["schedules"]).stdout == "no task has a schedule\n"
    assert json.loads(CliRunner().invoke(main, ["schedules", "-o", "json"]).stdout) == []


def test_a_schedule_of_the_settings_that_cannot_work(tmp_path: Path) -> None:
    """The words name the table and the mistake."""
    (tmp_path / "oneoff.toml").write_text(
        '[tool.oneoff.tasks.report]\ncommand = ["true"]\nschedule = "0 25 * * *"\n'
    )
    with pytest.raises(InvalidSettings, match=r"tasks.report\] schedule = .*hour '25'"):
        load_registry(load(tmp_path, {}), None)
