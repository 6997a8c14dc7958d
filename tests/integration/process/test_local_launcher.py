"""Detached runs as real processes, with a stand-in for the command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oneoff.errors import Refused
from oneoff.launchers.local import LocalLauncher
from oneoff.launchers.processes import LocalProcesses
from oneoff.logs import log_path
from oneoff.runs.run import Actor, Release, Run
from oneoff.runs.status import Status
from oneoff.types import RunId, TaskName
from tests.integration.process.helpers import eventually, kill_quietly, number_in, program, runs

CHILD = """
import json, os, sys, time
document = {
    "argv": sys.argv[1:],
    "cwd": os.getcwd(),
    "stdin": sys.stdin.read(),
    "session": os.getsid(0) == os.getpid(),
    "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
}
print(json.dumps(document), flush=True)
print("to stderr", file=sys.stderr, flush=True)
with open(os.environ["PID_FILE"], "w") as file: file.write(f"{os.getpid()}\\n")
time.sleep(float(os.environ.get("LINGER", "0")))
"""


@pytest.fixture
def run() -> Run:
    """A run that is confirmed."""
    return Run(
        id=RunId("r1"),
        app="shop",
        task=TaskName("purge"),
        status=Status.LAUNCHED,
        requested_at=datetime.now(UTC),
        actor=Actor(kind="human", name="me"),
        release=Release(),
    )


@pytest.fixture
def pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the child says that it has started; it is ended after the test."""
    path = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(path))
    yield path
    if path.exists():
        kill_quietly(number_in(path))


def launcher(state_dir: Path) -> LocalLauncher:
    """A launcher whose oneoff is the stand-in."""
    return LocalLauncher(state_dir, command_prefix=[*program(CHILD), "--app", "shop:admin"])


def first_line(log: Path) -> dict[str, object]:
    """What the child printed."""
    document: dict[str, object] = json.loads(log.read_text().splitlines()[0])
    return document


def test_the_child_is_told_what_to_run(tmp_path: Path, run: Run, pid_file: Path) -> None:
    """Its arguments, its folder, a session of its own, and no open file but the three."""
    with (tmp_path / "other").open("w") as other:
        os.set_inheritable(other.fileno(), True)
        process = launcher(tmp_path).launch(run, {})
        pid = number_in(pid_file)
    said = first_line(log_path(tmp_path, run.id))
    assert said == {
        "argv": ["--app", "shop:admin", "run", "purge", "--run-id", "r1"],
        "cwd": str(Path.cwd()),
        "stdin": "",
        "session": True,
        "open": [0, 1, 2],
    }
    assert process.pid == pid


def test_its_output_is_appended_to_the_log(tmp_path: Path, run: Run, pid_file: Path) -> None:
    """stdout and stderr both; what is there stays; the file is for its owner only."""
    log = log_path(tmp_path, run.id)
    launcher(tmp_path).launch(run, {})
    number_in(pid_file)
    before = log.read_text()
    assert before.endswith("to stderr\n")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    pid_file.unlink()
    launcher(tmp_path).launch(run, {})
    number_in(pid_file)
    assert log.read_text() == before + before


def test_secrets_reach_the_child_and_nobody_else(
    tmp_path: Path, run: Run, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a pipe: others on the machine can read arguments and variables."""
    monkeypatch.setenv("LINGER", "60")
    secrets = {"token": "hunter2 é", "large": "x" * 1_000_000}
    process = launcher(tmp_path).launch(run, secrets)
    number_in(pid_file)
    said = first_line(log_path(tmp_path, run.id))
    assert json.loads(str(said["stdin"])) == secrets
    assert said["argv"] == ["--app", "shop:admin", "run", "purge", "--run-id", "r1", "--secrets-from-stdin"]
    for file in ("cmdline", "environ"):
        assert b"hunter2" not in Path(f"/proc/{process.pid}/{file}").read_bytes()


def test_its_identity_is_the_one_it_would_give_itself(
    tmp_path: Path, run: Run, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks later can tell whether it lives, and a child that ended is no zombie here."""
    monkeypatch.setenv("LINGER", "60")
    processes = LocalProcesses()
    process = launcher(tmp_path).launch(run, {})
    number_in(pid_file)
    assert process == processes.identify(process.pid)
    assert processes.alive(process) is True
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{process.pid}").exists())
    assert processes.alive(process) is False


def test_a_child_that_dies_at_once_is_no_error_here(tmp_path: Path, run: Run) -> None:
    """Its secrets have no reader; that it is gone is found out by whoever looks."""
    quick = LocalLauncher(tmp_path, command_prefix=["true"])
    process = quick.launch(run, {"token": "x" * 1_000_000})
    eventually(lambda: LocalProcesses().alive(process) is False)


def test_a_process_that_cannot_be_started_is_refused(tmp_path: Path, run: Run) -> None:
    """With the system's reason."""
    with pytest.raises(Refused, match="No such file"):
        LocalLauncher(tmp_path, command_prefix=["/no/such/python"]).launch(run, {})


STARTER = """\
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from oneoff.launchers.local import LocalLauncher
from oneoff.runs.run import Actor, Release, Run
from oneoff.runs.status import Status
run = Run(id="r1", app="shop", task="purge", status=Status.LAUNCHED, requested_at=datetime.now(UTC),
          actor=Actor(kind="human", name="me"), release=Release())
LocalLauncher(Path(sys.argv[1]), command_prefix=[sys.executable, "-c", sys.argv[2]]).launch(run, {})
print("launched", flush=True)
time.sleep(60)
"""


def test_it_survives_its_parent_and_the_terminal(
    tmp_path: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is closed: the parent dies of SIGHUP, the child goes on."""
    monkeypatch.setenv("LINGER", "60")
    master, slave = pty.openpty()
    take_terminal = "import os, sys\nos.open(sys.argv[3], os.O_RDWR)  # the leader of a session gets it\n"
    parent = subprocess.Popen(
        program(take_terminal + STARTER, tmp_path, CHILD, os.ttyname(slave)), start_new_session=True
    )
    os.close(slave)
    pid = number_in(pid_file)
    os.close(master)
    assert parent.wait(10) == -signal.SIGHUP
    assert runs(pid)


def test_it_survives_a_parent_that_just_ends(
    tmp_path: Path, pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`oneoff run --detach` returns at once, without a warning, and the run goes on."""
    monkeypatch.setenv("LINGER", "60")
    code = STARTER.replace("time.sleep(60)", "")
    done = subprocess.run(
        [sys.executable, "-W", "error", *program(code, tmp_path, CHILD)[1:]],
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"launched\n", b"")
    assert runs(number_in(pid_file))
