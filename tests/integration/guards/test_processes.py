"""The guard inside its block and after it. Every road past it: tests/acceptance/test_child_processes.py."""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from oneoff.errors import DryRunStopped
from oneoff.guards.audit_hook import AuditHookGuard
from oneoff.tasks.masking import Mask
from tests.threads import let_go

_TRUE = [sys.executable, "-c", ""]
_SECRET = "hunter2"


def _attempt(start: Callable[[], Any]) -> str:
    guard = AuditHookGuard()
    with guard, pytest.raises(DryRunStopped) as stopped:
        start()
    assert guard.attempts == (str(stopped.value),)
    return guard.attempts[0]


@pytest.mark.parametrize(
    ("start", "named"),
    [
        (lambda: subprocess.run(["/usr/bin/psql", f"--password={_SECRET}"]), "psql"),
        (lambda: subprocess.run(f"PGPASSWORD={_SECRET} psql", shell=True), "sh"),
        (lambda: subprocess.run(f"PGPASSWORD={_SECRET} psql"), "PGPASSWORD"),
        (lambda: subprocess.run(f"psql --password=a/{_SECRET}"), "psql"),
        (lambda: subprocess.run([b"/usr/bin/psql", _SECRET]), "psql"),
        (lambda: os.system(f"PGPASSWORD={_SECRET} psql"), "a shell"),
        (lambda: os.posix_spawn("/usr/bin/psql", ["psql", _SECRET], {}), "psql"),
        (lambda: os.execv("/bin/uname", ["uname", "-p"]), "uname"),
        (lambda: subprocess.run(["uname", "-p", _SECRET]), "uname"),
        (lambda: subprocess.run([""]), "another program"),
    ],
)
def test_the_program_is_named_and_no_argument(start: Callable[[], Any], named: str) -> None:
    """An argument may hold a password, and so may a command line."""
    attempt = _attempt(start)
    assert attempt.startswith(f"the task would start {named} (")
    assert _SECRET not in attempt


def test_what_the_standard_library_asks_the_machine_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `platform.platform` and `ctypes.util.find_library` ask it, and with no other arguments."""
    monkeypatch.setattr(platform, "_uname_cache", None)
    guard = AuditHookGuard()
    with guard:
        platform.platform()
        subprocess.run(["uname", "-p"], capture_output=True, check=False)
    assert guard.attempts == ()


def test_after_the_block_processes_start_again() -> None:
    """Whatever was imported or kept meanwhile."""
    with AuditHookGuard():
        kept: Any = __import__("_posixsubprocess").fork_exec
    assert subprocess.run(_TRUE, check=False).returncode == 0
    assert kept is not __import__("_posixsubprocess").fork_exec
    child = multiprocessing.get_context("spawn").Process(target=int)
    child.start()
    child.join()
    assert child.exitcode == 0


def test_a_thread_that_the_task_left_behind_is_held_until_it_ends() -> None:
    """Then the process is as it was before."""
    go, seen = threading.Event(), list[BaseException]()

    def work() -> None:
        go.wait()
        try:
            subprocess.run(_TRUE, check=False)
        except DryRunStopped as stopped:
            seen.append(stopped)

    with AuditHookGuard():
        thread = threading.Thread(target=work)
        thread.start()
    go.set()
    thread.join()
    let_go()
    assert len(seen) == 1
    assert subprocess.run(_TRUE, check=False).returncode == 0


def test_two_guards_at_once() -> None:
    """Each notes the attempt, and the first one to end does not free the other's task."""
    outer, inner = AuditHookGuard(), AuditHookGuard()
    with outer:
        with inner, pytest.raises(DryRunStopped):
            os.fork()
        with pytest.raises(DryRunStopped):
            multiprocessing.get_context("spawn").Process(target=int).start()
    assert (len(outer.attempts), len(inner.attempts)) == (2, 1)


def test_a_process_without_a_dry_run_has_no_audit_hook() -> None:
    """Importing the adapter configures nothing."""
    code = (
        "import sys, _posixsubprocess as p; found = []; was = p.fork_exec; sys.addaudithook = found.append\n"
        "import oneoff.guards.audit_hook\n"
        "assert not found and p.fork_exec is was and 'subprocess' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("secret", ["first=second", "first/second", "first second"])
def test_no_part_of_a_secret_is_named(secret: str) -> None:
    """The name of a program is masked before it is cut: what is left of a secret then is not known as one."""
    mask = Mask([secret])
    with AuditHookGuard(mask) as guard, pytest.raises(DryRunStopped):
        subprocess.run([secret])
    assert "first" not in str(guard.attempts)
    assert "second" not in str(guard.attempts)
