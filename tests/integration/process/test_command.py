"""Commands as real processes: how they end, who ends them, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from oneoff.errors import CommandNotStarted, OneoffError
from oneoff.execution import guardian
from oneoff.execution.command import Child, CommandResult, run_command
from oneoff.execution.guardian import GRACE_SECONDS
from tests.integration.process.helpers import eventually, number_in, open_descriptors, program, runs

ENVIRON = dict(os.environ)


def nothing(_: Child) -> None:
    """For commands that nobody stops."""


def run(argv: Sequence[str], *, cwd: Path | None = None, environ: dict[str, str] = ENVIRON) -> CommandResult:
    """Run a command to its end."""
    return run_command(argv, environ=environ, cwd=cwd, on_start=nothing)


def guardian_of(child: Child) -> int:
    """The guardian is the command's parent."""
    stat = Path(f"/proc/{child.pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def shell(script: str, *arguments: object) -> list[str]:
    """A command that is a small script; its arguments are $1, $2 …"""
    return ["sh", "-c", script, "sh", *map(str, arguments)]


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 255])
def test_the_exit_code_is_kept(code: int) -> None:
    """Whatever it is: no code has a meaning of ours."""
    assert run(shell(f"exit {code}")) == CommandResult(exit_code=code)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGSEGV", "SIGPIPE"])
def test_a_death_by_signal_is_told_by_its_name(name: str) -> None:
    """No 128 + n: that would look like an exit code."""
    assert run(shell(f"kill -{name[3:]} $$")) == CommandResult(signal=name)


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    """Real-time signals between the first and the last have none."""
    assert run(shell(f"kill -{signal.SIGRTMIN + 3} $$")) == CommandResult(
        signal=f"signal {signal.SIGRTMIN + 3}"
    )


def test_arguments_variables_and_folder_arrive_as_they_are(tmp_path: Path) -> None:
    """No shell looks at them; odd bytes and odd characters stay; Python's own variables too."""
    arguments = ["a b", "$HOME", "*", "", "né 東京", "\udcff", "--", "-x"]
    code = "import os, sys; sys.exit(sys.argv[1:] != {0!r} or os.environ['X'] != 'é' or os.getcwd() != {1!r})"
    argv = [*program(code.format(arguments, str(tmp_path))), *arguments]
    assert run(argv, cwd=tmp_path, environ=ENVIRON | {"X": "é"}) == CommandResult(exit_code=0)
    only = {"PATH": "/usr/bin:/bin", "PYTHONHOME": "/none", "LC_ALL": "C.UTF-8"}
    output = tmp_path / "out"
    run(shell("env | grep -v -e ^_= -e ^PWD= -e ^SHLVL= | sort > $1", output), environ=only)
    assert output.read_text().splitlines() == sorted(f"{name}={value}" for name, value in only.items())


def test_standard_streams_are_inherited(capfd: pytest.CaptureFixture[str]) -> None:
    """What it prints goes where this process prints to."""
    run(shell("echo out; echo err >&2"))
    assert capfd.readouterr() == ("out\n", "err\n")


def test_standard_input_is_inherited() -> None:
    """What is typed, or piped in, is for the command."""
    code = """
    import os
    from oneoff.execution.command import run_command
    run_command(["cat"], environ=os.environ, on_start=lambda child: None)
    """
    done = subprocess.run(program(code), input=b"typed", capture_output=True, timeout=10, check=True)
    assert done.stdout == b"typed"


def test_only_the_standard_streams_are_inherited(tmp_path: Path) -> None:
    """No pipe of ours, no file of the app's."""
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        code = "import os, sys; sys.exit(len([fd for fd in os.listdir('/proc/self/fd') if int(fd) > 2]) - 1)"
        assert run(program(code)) == CommandResult(exit_code=0)  # but the listing's own


def test_signals_that_python_ignores_are_as_usual_for_the_command() -> None:
    """A command killed by SIGPIPE ends; under Python's settings it would go on for ever."""
    assert run(["sh", "-c", "yes | head -1 > /dev/null; kill -PIPE $$"]) == CommandResult(signal="SIGPIPE")


def test_it_has_a_session_of_its_own() -> None:
    """Signals for it reach all of its processes and none of ours."""
    code = "import os, sys; sys.exit(not os.getpid() == os.getpgid(0) == os.getsid(0) != int(sys.argv[1]))"
    assert run(program(code, os.getsid(0))) == CommandResult(exit_code=0)


@pytest.mark.parametrize(
    ("argv", "message", "next_step"),
    [
        ([], "empty", "program"),
        ([""], "empty", "program"),
        (["no-such-program-anywhere"], "no program no-such-program-anywhere", "PATH is "),
        (["./nowhere/x y"], "no program './nowhere/x y'", "look at its path"),
        (["/"], "/ may not be executed", "ls -l /"),
        (["true", "a\0b"], "null", ""),
        (["true", "x" * 200_000], "too long", ""),
    ],
)
def test_what_cannot_be_started_is_refused_in_clear_words(
    argv: list[str], message: str, next_step: str
) -> None:
    """Nothing ran, and the reader learns why and what to look at."""
    with pytest.raises(CommandNotStarted) as caught:
        run(argv)
    assert message in caught.value.message
    assert next_step in caught.value.next_step
    assert caught.value.exit_code == 3


def test_scripts_that_cannot_be_started(tmp_path: Path) -> None:
    """Not executable, without a first line that helps, or with one that names nothing."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    for mode, content, message in (
        (0o644, "#!/bin/sh\n", "may not be executed"),
        (0o755, "#!/no/such/interpreter\n", "needs a program that is missing"),
        (0o755, "echo\n", "is not a program for this machine"),
    ):
        script.write_text(content)
        script.chmod(mode)
        with pytest.raises(CommandNotStarted, match=message):
            run([str(script)])


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """The folder is named, not the program."""
    with pytest.raises(CommandNotStarted, match=str(tmp_path / "gone")):
        run(["true"], cwd=tmp_path / "gone")


def test_an_unset_path_is_said() -> None:
    """An empty environment is a usual reason for a missing program."""
    with pytest.raises(CommandNotStarted) as caught:
        run(["no-such-program-anywhere"], environ={})
    assert caught.value.next_step == "PATH is not set"


def test_python_that_does_not_know_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded interpreter cannot start a guardian: refused, never unguarded."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(CommandNotStarted, match="guard"):
        run(["true"])


TREE = """
sh -c 'echo $$ > "$1.tmp"; mv "$1.tmp" "$1"; sleep 60; :' sh "$1" &
wait
"""


@pytest.mark.parametrize("deed", ["terminate", "kill"])
def test_stopping_reaches_grandchildren(tmp_path: Path, deed: str) -> None:
    """From another thread; the whole group gets the signal."""
    grandchild = tmp_path / "grandchild"
    stopper: list[threading.Thread] = []

    def on_start(child: Child) -> None:
        def stop() -> None:
            number_in(grandchild)
            getattr(child, deed)()

        stopper.append(threading.Thread(target=stop))
        stopper[0].start()

    result = run_command(shell(TREE, grandchild), environ=ENVIRON, on_start=on_start)
    stopper[0].join()
    assert result == CommandResult(signal="SIGTERM" if deed == "terminate" else "SIGKILL")
    assert not runs(number_in(grandchild))


STOPS_WITH_9 = 'trap "exit 9" TERM; echo 0 > "$1.tmp"; mv "$1.tmp" "$1"; while :; do sleep 0.01; done'


def test_a_command_may_take_its_time_to_stop(tmp_path: Path) -> None:
    """SIGTERM asks: a command that cleans up and exits by itself keeps its exit code."""
    ready = tmp_path / "ready"

    def on_start(child: Child) -> None:
        number_in(ready)
        child.terminate()

    result = run_command(shell(STOPS_WITH_9, ready), environ=ENVIRON, on_start=on_start)
    assert result == CommandResult(exit_code=9)


def test_a_stopped_command_hears_a_terminate(tmp_path: Path) -> None:
    """A command that was stopped (SIGSTOP) is woken up, so that it can end in its own way."""
    ready = tmp_path / "ready"

    def on_start(child: Child) -> None:
        number_in(ready)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        child.terminate()

    result = run_command(shell(STOPS_WITH_9, ready), environ=ENVIRON, on_start=on_start)
    assert result == CommandResult(exit_code=9)


def test_stopping_what_has_ended_does_nothing() -> None:
    """The supervisor may come too late; no other process is hit."""
    children: list[Child] = []
    run_command(["true"], environ=ENVIRON, on_start=children.append)
    children[0].terminate()
    children[0].kill()


def test_an_exception_in_the_waiting_thread_ends_the_command(tmp_path: Path) -> None:
    """A signal handler that raises leaves nothing running behind it."""
    pids: list[int] = []

    def on_start(child: Child) -> None:
        assert child.pid is not None
        pids.append(child.pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_command(["sleep", "60"], environ=ENVIRON, on_start=on_start)
    assert not runs(pids[0])


def test_leftovers_are_asked_then_ended(tmp_path: Path) -> None:
    """A background process is no way to outlive a run: it may tidy up, and is killed if it does not end."""
    polite, stubborn = tmp_path / "polite", tmp_path / "stubborn"
    script = """
    sh -c 'trap "echo 1 > $1.bye; exit" TERM; echo $$ > $1; while :; do sleep 0.01; done' sh "$1" &
    sh -c 'trap "" TERM; echo $$ > $1; while :; do sleep 0.01; done' sh "$2" &
    until [ -s "$1" ] && [ -s "$2" ]; do sleep 0.01; done
    exit 3
    """
    began = time.monotonic()
    assert run(shell(script, polite, stubborn)) == CommandResult(exit_code=3)
    assert GRACE_SECONDS <= time.monotonic() - began < GRACE_SECONDS + 15
    assert (tmp_path / "polite.bye").exists()
    assert not runs(number_in(polite))
    assert not runs(number_in(stubborn))


def test_without_leftovers_there_is_no_waiting() -> None:
    """The grace is for what is there, not for nothing."""
    began = time.monotonic()
    run(["true"])
    assert time.monotonic() - began < GRACE_SECONDS


PARENT = """
import os, sys
from oneoff.execution import guardian
from oneoff.execution.command import run_command
run_command(sys.argv[1:], environ=os.environ, on_start=lambda child: None)
"""


@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_does_not_outlive_its_killed_parent(tmp_path: Path, deed: signal.Signals) -> None:
    """Not the child, not the grandchild, also if they ignore what they can."""
    child, grandchild = tmp_path / "child", tmp_path / "grandchild"
    script = 'trap "" TERM HUP INT; echo $$ > "$2";' + TREE
    parent = subprocess.Popen(program(PARENT, *shell(script, grandchild, child)))
    pids = [number_in(child), number_in(grandchild)]
    assert all(map(runs, pids))
    parent.send_signal(deed)
    parent.wait(5)
    eventually(lambda: not any(map(runs, pids)))


def test_a_parent_killed_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    """Killed before, while and after the command starts: there is no gap to slip through."""
    for round_ in range(12):
        pid_file = tmp_path / f"pid{round_}"
        script = 'echo $$ > "$1.tmp"; mv "$1.tmp" "$1"; exec sleep 60'
        parent = subprocess.Popen(program(PARENT, *shell(script, pid_file)))
        time.sleep(0.04 + round_ * 0.01)  # not for luck: the moment itself is what is varied
        parent.kill()
        parent.wait()
    time.sleep(0.3)
    pids = [number_in(path) for path in tmp_path.glob("pid*") if path.suffix == ""]
    eventually(lambda: not any(map(runs, pids)))


def test_a_guardian_that_comes_too_late_starts_nothing(tmp_path: Path) -> None:
    """The parent was killed while its guardian was starting: a run that is lost must not begin."""
    control, parent = os.pipe()
    os.close(parent)
    reader, status = os.pipe()
    subprocess.run(
        [sys.executable, "-I", "-S", guardian.__file__, str(control), str(status), "touch", tmp_path / "x"],
        pass_fds=(control, status),
        timeout=10,
        check=True,
    )
    os.close(control)
    os.close(status)
    with os.fdopen(reader) as lines:
        assert lines.read() == ""
    assert not (tmp_path / "x").exists()


def test_a_killed_guardian_takes_the_command_with_it(tmp_path: Path) -> None:
    """Without a guardian the command could outlive its run: it is ended, and the reason is said."""
    pids: list[int] = []

    def on_start(child: Child) -> None:
        assert child.pid is not None
        pids.append(child.pid)
        os.kill(guardian_of(child), signal.SIGKILL)

    with pytest.raises(OneoffError, match="guards"):
        run_command(["sleep", "60"], environ=ENVIRON, on_start=on_start)
    eventually(lambda: not runs(pids[0]))


def test_the_guardian_survives_what_is_meant_for_others(tmp_path: Path) -> None:
    """Whoever signals every process of a service at once hits the guardian too: it still cleans up."""

    def on_start(child: Child) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian_of(child), number)
        child.terminate()

    assert run_command(["sleep", "60"], environ=ENVIRON, on_start=on_start) == CommandResult(signal="SIGTERM")


def test_no_descriptor_is_left_open() -> None:
    """A long-lived process may run many commands."""
    run(["true"])
    before = open_descriptors()
    for argv in (["true"], ["no-such-program-anywhere"]):
        with suppress(CommandNotStarted):
            run(argv)
    assert open_descriptors() == before
