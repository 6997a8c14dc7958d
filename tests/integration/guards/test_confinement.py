"""What holds a command: by the kernel, or not at all."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oneoff.errors import DryRunUnavailable
from oneoff.guards import seccomp
from oneoff.guards.confinement import CommandConfinement
from oneoff.guards.held_thread import available

_PYTHON = [sys.executable, "-c"]
_TRIES = """
import os, socket, subprocess, sys
folder, port, parent, socket_path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.connect(address)
        sock.send(b"x")

tries = {
    "write": lambda: open(folder + "/new", "w"),
    "append": lambda: open(folder + "/data", "a"),
    "truncate": lambda: os.truncate(folder + "/data", 0),
    "remove": lambda: os.remove(folder + "/data"),
    "rename": lambda: os.rename(folder + "/data", folder + "/other"),
    "mkdir": lambda: os.mkdir(folder + "/inner"),
    "mkfifo": lambda: os.mkfifo(folder + "/fifo"),
    "link": lambda: os.link(folder + "/data", folder + "/hard"),
    "symlink": lambda: os.symlink("data", folder + "/soft"),
    "chmod": lambda: os.chmod(folder + "/data", 0o600),
    "chown": lambda: os.chown(folder + "/data", os.getuid(), os.getgid()),
    "utime": lambda: os.utime(folder + "/data"),
    "xattr": lambda: os.setxattr(folder + "/data", "user.a", b"1"),
    "tcp": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
    "udp": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)),
    "unix": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, socket_path),
    "signal": lambda: os.kill(parent, 0),
    "shared-memory": lambda: open("/dev/shm/oneoff-test", "w"),
}
done = []
for name, attempt in tries.items():
    try:
        attempt()
    except PermissionError:
        continue
    except OSError as error:
        name += f" {error}"
    done.append(name)
print(done)
"""
_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]], check=True)"


def _run(command: list[str], *ports: int) -> subprocess.CompletedProcess[str]:
    with CommandConfinement(ports).around(command, {}) as confined:
        return subprocess.run(
            confined.command,
            env={**os.environ, **confined.environ},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize("prefix", [[], [_CHILD]], ids=["itself", "child"])
def test_nothing_of_a_command_stays(tmp_path: Path, prefix: list[str]) -> None:
    """Nor of what it starts, in any language; the kernel says no to each try."""
    (tmp_path / "data").write_text("as it was")
    before = (tmp_path / "data").stat()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
    ):
        unix.bind(str(tmp_path / "sock"))
        unix.listen()
        port = server.getsockname()[1]
        arguments = [_TRIES, str(tmp_path), str(port), str(os.getpid()), str(tmp_path / "sock")]
        ended = _run([*_PYTHON, *prefix, *arguments])
    assert (ended.stdout, ended.stderr) == ("[]\n", "")
    after = (tmp_path / "data").stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "sock"]


def test_the_tries_of_this_test_work_where_nothing_holds_them(tmp_path: Path) -> None:
    """They are refused by what holds the command, and by nothing else."""
    (tmp_path / "data").write_text("as it was")
    arguments = [_TRIES, str(tmp_path), "9", str(os.getpid()), str(tmp_path / "sock")]
    ended = subprocess.run([*_PYTHON, *arguments], capture_output=True, text=True, check=True)
    Path("/dev/shm/oneoff-test").unlink()
    assert "write" in ended.stdout
    assert "signal" in ended.stdout


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_another_language_is_held_too(tmp_path: Path) -> None:
    """It is the process that is held, and not a library of it."""
    ended = _run(["node", "-e", f"require('fs').writeFileSync('{tmp_path}/new', 'x')"])
    assert ended.returncode == 1
    assert "EACCES" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_it_has_a_folder_of_its_own_and_may_read() -> None:
    """TMPDIR leads there, /dev/null takes everything, and afterwards the folder is gone."""
    ended = _run(
        ["sh", "-c", 'echo x >"$TMPDIR/a" && cat "$TMPDIR/a" /etc/hostname >/dev/null; echo $TMPDIR']
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "oneoff-copy-" in ended.stdout
    assert not Path(ended.stdout.strip()).exists()


def test_it_connects_to_its_ports_alone() -> None:
    """To that of a database, say; by TCP alone, and no server of its own comes to be."""
    code = (
        "import socket, sys\n"
        "for port in sys.argv[1:]:\n"
        "    try: socket.create_connection(('127.0.0.1', int(port))).close(); print('connected')\n"
        "    except OSError as error: print(error.errno)\n"
        "for address in (('127.0.0.1', 0),):\n"
        "    try: socket.create_server(address); print('served')\n"
        "    except OSError as error: print(error.errno)\n"
        "try: socket.socket(socket.AF_UNIX); print('unix')\n"
        "except OSError as error: print(error.errno)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = one.getsockname()[1], other.getsockname()[1]
        ended = _run([*_PYTHON, code, *map(str, ports)], ports[0])
    assert ended.stdout.split() == ["connected", "13", "13", "13"]
    assert any("UDP" in gap for gap in CommandConfinement(ports).not_covered)


def test_a_program_that_is_not_there() -> None:
    """It ends as in a shell, and says so."""
    ended = _run(["no-such-program"])
    assert ended.returncode == 127
    assert ended.stderr == "oneoff: no-such-program could not be started: No such file or directory\n"


@pytest.mark.parametrize(
    ("abi", "ports", "words"),
    [
        (0, [], "Landlock is not to be had here"),
        (2, [], "does not keep files from being cut off"),
        (3, [5432], "tells no ports apart"),
    ],
)
def test_a_kernel_that_cannot_hold_it(abi: int, ports: list[int], words: str) -> None:
    """What is not enforced is not called a dry run: refused, with a next step."""
    with pytest.raises(DryRunUnavailable, match=words) as refused:
        CommandConfinement(ports, abi=lambda: abi)
    assert "Linux 6.7" in refused.value.next_step


def test_a_kernel_that_holds_less_says_so() -> None:
    """Without ports no connection is made by any kernel; signals are held from version 6 on."""
    older, newer = CommandConfinement([], abi=lambda: 3), CommandConfinement([], abi=lambda: 6)
    assert [gap for gap in older.not_covered if gap not in newer.not_covered] == [
        "signals that the command sends to other processes of this user"
    ]


def test_a_machine_whose_system_calls_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are told apart by the numbers of system calls, which each architecture has of its own."""
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    with pytest.raises(DryRunUnavailable, match="seccomp is not known here"):
        CommandConfinement([])


def test_a_function_is_held_by_the_kernel_only_in_a_process_of_oneoffs_own() -> None:
    """What a thread has given up it never gets back: a test suite, or a server, would be held for ever."""
    assert not available()
    assert not available(abi=lambda: 0)
