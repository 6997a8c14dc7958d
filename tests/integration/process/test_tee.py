"""What a run prints, in real processes with real pipes, terminals and full disks."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from oneoff.errors import StoreUnavailable
from oneoff.execution.output import STRAGGLER_SECONDS, tee
from tests.integration.process.helpers import eventually, kill_quietly, number_in, program, run, runs
from tests.terminals import shown_on

HEAD = """
import os, pathlib, signal, subprocess, sys, time
from oneoff.execution.output import tee
log = pathlib.Path(sys.argv[1])
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "r1.log"


def test_output_goes_to_its_stream_and_to_the_log(log: Path) -> None:
    """stdout stays stdout, stderr stays stderr, and the log has both."""
    done = run(HEAD + "with tee(log): print('out'); print('err', file=sys.stderr)\nprint('after')", log)
    assert (done.stdout, done.stderr) == (b"out\nafter\n", b"err\n")
    assert sorted(log.read_bytes().splitlines()) == [b"err", b"out"]


def test_the_log_is_for_its_owner_only_and_is_appended_to(log: Path) -> None:
    """A log may hold personal data; a second part of a run does not overwrite the first."""
    run(HEAD + "with tee(log): print(1)\nwith tee(log): print(2)", log)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert log.read_bytes() == b"1\n2\n"


def test_a_symbolic_link_in_the_place_of_the_log_is_not_followed(log: Path, tmp_path: Path) -> None:
    """A link could lead the output over a file of value: refused, before anything ran."""
    log.parent.mkdir()
    log.symlink_to(tmp_path / "precious")
    with pytest.raises(StoreUnavailable, match=r"r1\.log"), tee(log):
        pytest.fail("must not run")
    assert not (tmp_path / "precious").exists()


def test_every_byte_arrives_as_it_is(log: Path) -> None:
    """Binary, NULs, partial lines, and more than a pipe holds."""
    code = "data = bytes(range(256)) * 20_000\nwith tee(log): sys.stdout.buffer.write(data)"
    done = run(HEAD + code, log)
    assert done.stdout == log.read_bytes() == bytes(range(256)) * 20_000


def test_a_character_split_across_writes_arrives_whole(log: Path) -> None:
    """Bytes are copied, nothing is decoded."""
    code = "with tee(log):\n for byte in 'né€😀'.encode(): os.write(1, bytes([byte])); time.sleep(0.01)"
    done = run(HEAD + code, log)
    assert done.stdout == log.read_bytes() == "né€😀".encode()


def test_children_are_captured(log: Path) -> None:
    """A subprocess inherits the descriptors."""
    done = run(HEAD + "with tee(log): subprocess.run(['sh', '-c', 'echo child; echo oops >&2'])", log)
    assert (done.stdout, done.stderr) == (b"child\n", b"oops\n")
    assert sorted(log.read_bytes().splitlines()) == [b"child", b"oops"]


def test_what_was_printed_before_a_kill_is_in_the_log(log: Path) -> None:
    """`print` is in the file at once, whatever happens to the process later."""
    process = subprocess.Popen(program(HEAD + "with tee(log): print('here'); time.sleep(60)", log), stdout=-3)
    try:
        eventually(lambda: log.exists() and log.read_bytes() == b"here\n")
    finally:
        process.kill()
        process.wait()
    assert log.read_bytes() == b"here\n"


def test_a_straggler_keeps_nobody_waiting(log: Path, tmp_path: Path) -> None:
    """A background process holds the pipe after the task: the run ends, with all that was said till then."""
    code = """
child = "echo from below; echo $$ > $0; exec sleep 60"
with tee(log):
    subprocess.Popen(["sh", "-c", child, sys.argv[2]])
    while not os.path.exists(sys.argv[2]): time.sleep(0.01)
    began = time.monotonic()
print(time.monotonic() - began, flush=True)
os.close(1); os.close(2)
"""
    pid_file = tmp_path / "pid"
    process = subprocess.Popen(program(HEAD + code, log, pid_file), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as out:
        first, took = out.readline(), float(out.readline())
    process.wait(10)
    kill_quietly(number_in(pid_file))
    assert first == log.read_bytes() == b"from below\n"
    assert STRAGGLER_SECONDS * 0.9 < took < STRAGGLER_SECONDS + 1


def test_a_chatty_straggler_keeps_nobody_waiting_either(log: Path) -> None:
    """A background process that never stops talking is not listened to for ever."""
    code = """
with tee(log):
    child = subprocess.Popen(["yes"])
    began = time.monotonic()
child.kill()
child.wait()
sys.exit(time.monotonic() - began > 5)
"""
    assert run(HEAD + code, log).returncode == 0


def test_a_slow_reader_gets_everything(log: Path) -> None:
    """The end waits for a reader that takes its time (a pager), however long: nothing is cut off."""
    code = "with tee(log): sys.stdout.buffer.write(b'x' * 150_000)"
    process = subprocess.Popen(program(HEAD + code, log), stdout=subprocess.PIPE)
    assert process.stdout is not None
    eventually(lambda: log.exists() and log.stat().st_size >= 65_536)
    time.sleep(STRAGGLER_SECONDS * 1.5)  # the pager's reader reads
    with process.stdout as out:
        assert len(out.read()) == 150_000
    assert process.wait(10) == 0
    assert log.stat().st_size == 150_000


def test_a_stdout_that_does_not_block_gets_everything(log: Path) -> None:
    """Another program that shares the pipe made it non-blocking: a full pipe is waited for all the same."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        program(HEAD + "with tee(log): sys.stdout.buffer.write(b'x' * 300_000)", log), stdout=writer
    )
    os.close(writer)
    eventually(lambda: log.exists() and log.stat().st_size > 65_536)  # more than the pipe holds
    with os.fdopen(reader, "rb") as out:
        assert len(out.read()) == 300_000
    assert process.wait(10) == 0


def test_a_reader_that_leaves_does_not_disturb_the_task(log: Path) -> None:
    """`oneoff run x | head -1`: the task goes on, the log has everything, and nobody complains."""
    code = "with tee(log):\n for i in range(2000): print('line', i)"
    process = subprocess.Popen(program(HEAD + code, log), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr as err:
        assert err.read() == b""
    assert process.wait(10) == 0
    assert log.read_bytes().splitlines()[-1] == b"line 1999"


def test_a_terminal_that_goes_away_does_not_disturb_the_task(log: Path, tmp_path: Path) -> None:
    """Writing to a terminal whose window was closed fails with EIO: the task goes on into the log."""
    code = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with tee(log):
    print("before")
    while not os.path.exists(sys.argv[2]): time.sleep(0.01)
    for i in range(100): print("after", i)
    print("err", file=sys.stderr)
open(sys.argv[3], "w").write("0\\n")
"""
    master, slave = pty.openpty()
    gone, ended = tmp_path / "gone", tmp_path / "ended"
    process = subprocess.Popen(
        program(HEAD + code, log, gone, ended),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    assert shown_on(master, 8) == b"before\r\n"
    os.close(master)
    gone.touch()
    assert process.wait(10) == 0
    assert number_in(ended) == 0
    assert {b"before", b"after 0", b"after 99", b"err"} <= set(log.read_bytes().splitlines())


def test_a_full_disk_costs_the_log_only_and_is_said_once() -> None:
    """ENOSPC on the log: the terminal still gets everything, then one sentence on stderr."""
    done = run(HEAD + "with tee(log):\n for i in range(3): print(i); time.sleep(0.02)", "/dev/full")
    assert done.stdout == b"0\n1\n2\n"
    assert done.stderr == b"oneoff: the run's log /dev/full lacks 6 bytes: No space left on device\n"
    assert done.returncode == 0


def test_a_full_disk_under_stdout_is_said_too(log: Path) -> None:
    """`oneoff run export > file` on a full disk must not look complete."""
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            program(HEAD + "with tee(log): print('x')", log), stdout=full, stderr=subprocess.PIPE, timeout=10
        )
    assert process.stderr == b"oneoff: output could not be written: No space left on device\n"
    assert log.read_bytes() == b"x\n"


@pytest.mark.parametrize("closed", ["0", "1", "2", "0, 1, 2"])
def test_standard_streams_that_were_closed_by_the_caller(log: Path, closed: str) -> None:
    """`>&-`: no file of ours may take the number of a standard stream and receive output."""
    inner = HEAD + "with tee(log): subprocess.run(['sh', '-c', 'echo a; echo b >&2'])"
    code = f"import os, sys\nfor fd in ({closed},): os.close(fd)\nos.execv(sys.executable, sys.argv[1:])"
    done = subprocess.run(program(code, *program(inner, log)), capture_output=True, timeout=10, check=False)
    assert done.returncode == 0
    assert sorted(log.read_bytes().splitlines()) == [b"a", b"b"]


@pytest.mark.parametrize(
    "deed",
    ["sys.stdout.close()", "os.close(1)", "sys.exit(0)", "sys.stdout = None", "os.set_blocking(1, False)"],
)
def test_whatever_the_task_does_to_its_streams(log: Path, deed: str) -> None:
    """Closed, replaced or left by SystemExit: stderr and the log still work, and descriptor 1 is put back."""
    code = f"""
try:
    with tee(log):
        print("said")
        {deed}
except SystemExit:
    pass
os.write(1, b"restored")
"""
    done = run(HEAD + code, log)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"said\nrestored", b"")
    assert log.read_bytes() == b"said\n"


def test_a_reset_of_sigpipe_by_the_task_does_not_kill_the_run(log: Path) -> None:
    """Some libraries restore SIGPIPE's default; a reader that left must still not end the process."""
    code = "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\nwith tee(log):\n for i in range(99): print(i)"
    process = subprocess.Popen(program(HEAD + code, log), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(10) == 0
    assert log.read_bytes().splitlines()[-1] == b"98"


def test_a_forked_child_that_runs_through_the_end_of_the_block(log: Path) -> None:
    """A task that forks and returns twice: neither of the two hangs."""
    code = """
with tee(log) as terminal:
    pid = os.fork()
    print("x")
    terminal.show("")
if pid: os.waitpid(pid, 0)
"""
    done = run(HEAD + code, log)
    assert (done.returncode, done.stdout) == (0, b"x\nx\n")


def test_a_forked_child_does_not_wait_for_a_lock_that_nobody_holds(log: Path) -> None:
    """A task forks while output is on its way to a slow terminal: the child leaves the status line alone."""
    code = """
import pty, threading
from oneoff.execution.terminal import Terminal
master, slave = pty.openpty()
reader, writer = os.pipe()
terminal = Terminal(slave)
threading.Thread(target=terminal.write, args=(writer, b"x" * 100_000)).start()
os.read(reader, 1)  # the lock is held from now on, until somebody reads the rest
if not (pid := os.fork()):
    terminal.show("x")
    os._exit(0)
deadline = time.monotonic() + 5
while not (ended := os.waitpid(pid, os.WNOHANG)[0]) and time.monotonic() < deadline: time.sleep(0.01)
os.kill(pid, 9) if not ended else None
os.read(reader, 100_000)
sys.exit(not ended)
"""
    assert run(HEAD + code, log).returncode == 0


def test_nothing_is_left_open(log: Path) -> None:
    """Descriptors and threads are as they were before."""
    code = """
import threading
before = sorted(os.listdir("/proc/self/fd")), threading.active_count()
for _ in range(3):
    with tee(log): print("x")
assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before
"""
    done = run(HEAD + code, log)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_status_line_is_on_the_terminal_and_not_in_the_log(log: Path) -> None:
    """What a bar draws is for whoever looks on; a print takes it away first."""
    code = """
with tee(log) as terminal:
    assert terminal.isatty
    terminal.show("50%")
    print("hello")
"""
    master, slave = pty.openpty()
    process = subprocess.Popen(program(HEAD + code, log), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    assert process.wait(10) == 0
    expected = b"\r\x1b[K50%\r\x1b[Khello\r\n"
    assert shown_on(master, len(expected)) == expected
    os.close(master)
    assert log.read_bytes() == b"hello\n"


def test_the_main_thread_still_gets_its_signals(log: Path, tmp_path: Path) -> None:
    """The thread that copies takes no signal; SIGTERM reaches the handler at once."""
    code = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with tee(log):
    open(sys.argv[2], "w").write(f"{os.getpid()}\\n")
    time.sleep(60)
"""
    process = subprocess.Popen(program(HEAD + code, log, tmp_path / "pid"))
    os.kill(number_in(tmp_path / "pid"), signal.SIGTERM)
    assert process.wait(5) == 7
    assert not runs(process.pid)


def test_setting_up_costs_less_than_three_milliseconds(log: Path) -> None:
    """The best of several: a cold disk or a busy machine is not what is measured."""
    code = """
def once():
    began = time.perf_counter()
    with tee(log): pass
    return time.perf_counter() - began
print(min(once() for _ in range(20)) * 1000)
"""
    assert float(run(HEAD + code, log).stdout) < 3
