"""What is read from /proc, on a /proc that the test makes up."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from oneoff.launchers.processes import LocalProcesses, parse_stat

LINE = "{pid} ({name}) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {started} 1000 200 1844"
ELSEWHERE = 4_194_305  # above the highest pid that Linux gives out


def stat(pid: int, *, name: str = "python", state: str = "S", started: int = 4711) -> str:
    """A line as the kernel writes it."""
    return LINE.format(pid=pid, name=name, state=state, started=started)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc that knows its boot, its pid namespace and this very process."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("b007\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    (tmp_path / str(os.getpid())).mkdir()
    (tmp_path / str(os.getpid()) / "stat").write_text(stat(os.getpid()))
    return tmp_path


@pytest.mark.parametrize("name", ["python", "a b", "a) S 1 2 (b", ")", "((", "\n", "Z) Z"])
def test_a_name_with_parentheses_and_spaces_does_not_shift_the_fields(name: str) -> None:
    """The program's name is chosen by whoever wrote it: fields count from the last parenthesis."""
    assert parse_stat(stat(42, name=name).encode()) == ("S", "4711")


def test_this_process_is_known_by_boot_namespace_pid_and_start(proc: Path) -> None:
    """All that is needed to tell it from a later one of the same number."""
    process = LocalProcesses(proc).current()
    assert (process.machine, process.pid, process.started) == ("b007/pid:[4026531836]", os.getpid(), "4711")
    assert process.host == os.uname().nodename


def test_it_lives_while_its_start_time_is_the_same(proc: Path) -> None:
    """The same pid with another start time is a stranger."""
    processes = LocalProcesses(proc)
    process = processes.current()
    assert processes.alive(process) is True
    assert processes.alive(replace(process, started="4712")) is False


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_is_dead(proc: Path, state: str) -> None:
    """It answers to signals and does nothing any more."""
    processes = LocalProcesses(proc)
    process = processes.current()
    (proc / str(os.getpid()) / "stat").write_text(stat(os.getpid(), state=state))
    assert processes.alive(process) is False


def test_of_another_machine_nothing_is_known(proc: Path) -> None:
    """Another boot, another container, another host: neither alive nor dead."""
    processes = LocalProcesses(proc)
    assert processes.alive(replace(processes.current(), machine="b008/pid:[4026531836]")) is None


def test_a_pid_that_nobody_has_is_dead(proc: Path) -> None:
    """Neither /proc nor the kernel knows it."""
    processes = LocalProcesses(proc)
    assert processes.alive(replace(processes.current(), pid=ELSEWHERE)) is False


def test_a_process_that_proc_hides_is_neither_alive_nor_dead(proc: Path) -> None:
    """Under hidepid the kernel knows a pid that /proc does not show: it may be a stranger's."""
    processes = LocalProcesses(proc)
    assert processes.alive(replace(processes.current(), pid=1)) is None


def test_without_proc_the_pid_alone_has_to_do(tmp_path: Path) -> None:
    """macOS: no start time, the machine is the host's name."""
    processes = LocalProcesses(tmp_path)
    process = processes.current()
    assert (process.machine, process.started) == (os.uname().nodename, "")
    assert processes.alive(process) is True
    assert processes.alive(replace(process, pid=ELSEWHERE)) is False
    assert processes.alive(replace(process, machine="elsewhere")) is None
