"""Processes of this machine, as /proc really shows them."""

from __future__ import annotations

import subprocess

from oneoff.launchers.processes import LocalProcesses
from tests.integration.process.helpers import eventually, program


def test_a_process_from_its_start_to_its_zombie() -> None:
    """It is alive while it runs, and dead before its parent has asked for it."""
    processes = LocalProcesses()
    child = subprocess.Popen(program("input()"), stdin=subprocess.PIPE)
    identity = processes.identify(child.pid)
    assert processes.alive(identity) is True
    child.kill()
    eventually(lambda: processes.alive(identity) is False)  # nobody has reaped it: a zombie
    child.communicate()
    assert processes.alive(identity) is False


def test_a_process_knows_itself_as_others_know_it() -> None:
    """What a child says of itself is what its parent sees."""
    code = "from oneoff.launchers.processes import LocalProcesses as P; print(P().current()); input()"
    child = subprocess.Popen(program(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    said = child.stdout.readline().decode().strip()
    assert said == str(LocalProcesses().identify(child.pid))
    child.communicate(b"\n")
