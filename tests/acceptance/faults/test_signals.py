"""Signals: one asks, a second one ends the task, and the record always says so."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from oneoff.runs.status import FINAL, Status
from tests.acceptance.faults.project import QUICK, Project, finished

ASKING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
BLOCKED = [
    *("sleep", "sql", "swallowing_errors"),
    *(pytest.param(how, marks=pytest.mark.slow) for how in ("loop", "select", "lock", "async")),
]


def the_end(project: Project) -> tuple[Status, str]:
    """Status and error of the only run, whose audit log is whole."""
    run = project.the_run()
    assert run.outcome is not None
    assert project.events(run.id)[-1] == "outcome"
    return run.status, run.outcome.error or ""


@pytest.mark.parametrize("number", ASKING)
def test_a_task_that_looks_ends_as_interrupted(number: signal.Signals, project: Project) -> None:
    """Exit code 75: try again later."""
    process = project.started("run", "listens")
    process.send_signal(number)
    assert finished(process) == 75
    assert the_end(project)[0] is Status.INTERRUPTED


@pytest.mark.parametrize("number", ASKING)
def test_a_task_that_never_looks_and_ends_has_succeeded(number: signal.Signals, project: Project) -> None:
    """All of its work is done."""
    process = project.started("run", "deaf")
    process.send_signal(number)
    (project.folder / "go").touch()
    assert finished(process) == 0
    assert the_end(project) == (Status.SUCCEEDED, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_task_that_sleeps_is_ended_after_the_grace(number: signal.Signals, project: Project) -> None:
    """Whoever sends SIGTERM sends SIGKILL later; the run is recorded before."""
    process = project.started("run", "forever", "--how", "sleep", **QUICK)
    process.send_signal(number)
    assert finished(process) == 75
    assert the_end(project) == (Status.INTERRUPTED, "interrupted by a signal")


@pytest.mark.parametrize("how", BLOCKED)
def test_a_second_signal_ends_the_task_now(how: str, project: Project) -> None:
    """Also where it waits in the system, in SQLite, or swallows every Exception."""
    process = project.started("run", "forever", "--how", how, **QUICK)
    process.send_signal(signal.SIGINT)
    project.until(lambda: not pending(process.pid))
    process.send_signal(signal.SIGINT)
    assert finished(process, within=10) == 75
    assert the_end(project) == (Status.INTERRUPTED, "interrupted from the keyboard")


def pending(pid: int) -> bool:
    """Whether a signal waits to be handled: two of a kind would become one."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [line.split()[1] for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(int(mask, 16) for mask in masks)


@pytest.mark.parametrize("how", ["swallowing_all", "with_own_handler"])
def test_a_task_that_resists_is_left_behind(how: str, project: Project) -> None:
    """It swallows even RunStopped, or took the signal for itself: the process leaves, with the truth told."""
    process = project.started("run", "forever", "--how", how, **QUICK)
    assert project.oneoff("cancel", "@latest", "--force").returncode == 0
    assert finished(process, within=10) == 5
    assert the_end(project)[0] is Status.CANCELLED


def test_a_task_that_ignores_the_signals(project: Project) -> None:
    """It is deaf to them as a whole, and ends by force all the same."""
    process = project.started("run", "forever", "--how", "ignoring_signals", **QUICK)
    project.until((project.folder / "deaf").exists)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
    assert project.oneoff("cancel", "@latest", "--force").returncode == 0
    assert finished(process, within=10) == 5
    assert the_end(project)[0] is Status.CANCELLED


@pytest.mark.parametrize("task", ["forever-timed", "slow-failure"])
def test_a_reader_that_reads_nothing_cannot_hold_up_the_record(task: str, project: Project) -> None:
    """`| less`: the outcome is recorded, and the rest of the output waits for its reader."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        project.command("run", task, *(["--how", "printing"] if task == "forever-timed" else []), **QUICK),
        cwd=project.folder,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    project.until(lambda: project.runs() and project.the_run().status in FINAL)
    assert the_end(project)[0] is (Status.TIMED_OUT if task == "forever-timed" else Status.FAILED)
    assert process.poll() is None
    os.close(reader)
    assert process.wait(20) == (6 if task == "forever-timed" else 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_gets_the_signal_in_its_whole_group(number: signal.Signals, project: Project) -> None:
    """It exits with 0, and still counts as interrupted: nobody knows what it left undone."""
    process = project.started("run", "polite")
    process.send_signal(number)
    assert finished(process) == 75
    assert project.text("inner") == "heard\n"
    run = project.the_run()
    assert run.outcome is not None
    assert (run.status, run.outcome.exit_code) == (Status.INTERRUPTED, 0)


@pytest.mark.parametrize("step", [["save", 1], ["_work", 1]], ids=["before the claim", "before the task"])
def test_a_signal_before_the_task_has_begun(step: list[object], project: Project) -> None:
    """Nothing is begun any more, and nothing is lost."""
    gate = project.folder / "on"
    process = project.start("run", "noop", pause=[*step, str(gate)])
    project.until(gate.with_suffix(".here").exists)
    process.send_signal(signal.SIGTERM)
    project.until(lambda: not pending(process.pid))
    gate.touch()
    assert finished(process) == 75
    assert (the_end(project)[0], project.executions()) == (Status.INTERRUPTED, 0)


@pytest.mark.parametrize("number", ASKING)
def test_signals_while_the_outcome_is_recorded(number: signal.Signals, project: Project) -> None:
    """However many: the task has ended, and that is written down."""
    gate = project.folder / "on"
    process = project.start("run", "noop", pause=["save", 2, str(gate)])
    project.until(gate.with_suffix(".here").exists)
    for _ in range(5):
        process.send_signal(number)
        project.until(lambda: not pending(process.pid))
    gate.touch()
    assert finished(process) == 0
    assert the_end(project) == (Status.SUCCEEDED, "")


def at_a_terminal(project: Project, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """The command in a session of its own, with a pseudo-terminal; and the terminal's other end."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *project.command(*arguments)],
        cwd=project.folder,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    project.until((project.folder / "started").exists)
    return process, master


def test_ctrl_c_at_a_terminal(project: Project) -> None:
    """The terminal turns the key into SIGINT."""
    process, master = at_a_terminal(project, "run", "listens")
    os.write(master, b"\x03")
    assert process.wait(20) == 75
    os.close(master)
    assert the_end(project) == (Status.INTERRUPTED, "interrupted from the keyboard")


def test_a_terminal_that_goes_away(project: Project) -> None:
    """The run is asked to end, ends, and is recorded, though nobody sees what it prints."""
    process, master = at_a_terminal(project, "run", "chatty")
    os.close(master)
    process.wait(20)
    assert the_end(project) == (Status.INTERRUPTED, "interrupted by a signal")


def test_a_reader_that_goes_away(project: Project) -> None:
    """`| head` closes the pipe; the task goes on to its end, and its log has all of it."""
    reader, writer = os.pipe()
    with (project.folder / "err").open("wb") as err:
        process = subprocess.Popen(
            project.command("run", "bad", "--how", "50_megabytes"),
            cwd=project.folder,
            stdout=writer,
            stderr=err,
        )
    os.close(writer)
    os.read(reader, 100)
    os.close(reader)
    assert process.wait(20) == 0
    run = project.the_run()
    assert run.status is Status.SUCCEEDED
    log = (project.folder / ".oneoff/store.d/logs" / f"{run.id}.log").read_bytes()
    printed = log.partition(b"\n")[2].partition(b"checkpoint ")[0]
    assert len(printed) == 800 * 65_536


def test_nohup_stays_nohup(project: Project) -> None:
    """A signal that the caller ignores does not end the task."""
    process = subprocess.Popen(
        ["nohup", *project.command("run", "deaf")],
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    project.until((project.folder / "started").exists)
    process.send_signal(signal.SIGHUP)
    (project.folder / "go").touch()
    assert process.wait(20) == 0
    assert the_end(project) == (Status.SUCCEEDED, "")
