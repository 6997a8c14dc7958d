"""The installed command line in a project of its own, as processes: what a user has in a shell."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ONEOFF = str(Path(sys.executable).with_name("oneoff"))
PATIENCE = 15.0
_OWN = ("ONEOFF_", "CI", "GITHUB_", "GITLAB_", "BUILDKITE_", "SUDO_USER")


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out.encode(errors="surrogateescape"))


class Project:
    """A folder with an app; calling it runs ``oneoff`` there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        """Write ``NAME_py`` as NAME.py, and so on."""
        for name, text in files.items():
            stem, _, kind = name.rpartition("_")
            (self.root / f"{stem}.{kind}").write_text(text, encoding="utf-8")

    def environ(self, given: Mapping[str, str] | None) -> dict[str, str]:
        """The tests' own variables without those that oneoff reads."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | dict(given or {})

    def __call__(
        self,
        *arguments: str | bytes,
        program: tuple[str, ...] = (ONEOFF,),
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> Ended:
        """Run ``oneoff ARGUMENTS`` without a terminal to its end."""
        ended = subprocess.run(
            [*program, *arguments],
            cwd=cwd or self.root,
            env=self.environ(environ),
            input=(stdin or "").encode(),
            capture_output=True,
            timeout=PATIENCE * 2,
            check=False,
        )
        out, err = (stream.decode(errors="surrogateescape") for stream in (ended.stdout, ended.stderr))
        return Ended(ended.returncode, out, err)

    def start(
        self,
        *arguments: str,
        program: tuple[str, ...] = (ONEOFF,),
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start ``oneoff ARGUMENTS``; the caller waits for it."""
        return subprocess.Popen(
            [*program, *arguments],
            cwd=self.root,
            env=self.environ(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def runs(self) -> list[dict[str, Any]]:
        """Every run, newest first."""
        found: list[dict[str, Any]] = self("runs", "-o", "json").json
        return found

    def latest(self) -> dict[str, Any]:
        """The newest run."""
        found: dict[str, Any] = self("show", "@latest", "-o", "json").json
        return found

    def files_with(self, text: str) -> list[str]:
        """The files below the project's own records that hold this text."""
        needle = text.encode()
        records = (self.root / ".oneoff").rglob("*")
        return [str(path) for path in records if path.is_file() and needle in path.read_bytes()]

    @contextmanager
    def terminal(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Typist]:
        """Run ``oneoff ARGUMENTS`` on a terminal of its own, with somebody who can type."""
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.root)
                os.execve(ONEOFF, [ONEOFF, *arguments], self.environ({"TERM": "xterm", **(environ or {})}))
            finally:
                os._exit(127)
        try:
            yield Typist(pid, master)
        finally:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(master)


class Typist:
    """Somebody at a terminal, who reads before typing."""

    def __init__(self, pid: int, master: int) -> None:
        self.pid = pid
        self._master = master
        self.seen = ""
        """Everything that the terminal has shown."""
        self._raw = b""

    def read_until(self, text: str) -> None:
        """Read until the terminal shows this text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert self._read(deadline), f"{text!r} never came; there was:\n{self.seen}"

    def type(self, text: str) -> None:
        """Type it; ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._master, text.encode())

    def end(self, *, insisting: str = "") -> int:
        """Read on to the end; the exit code.

        With ``insisting`` it is typed once more after a second: a key that comes while a prompt is set up may
        be looked at with the next one only.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            while self._read(min(deadline, time.monotonic() + 1) if insisting else deadline):
                pass
            ended, status = os.waitpid(self.pid, os.WNOHANG if insisting else 0)
            if ended:
                return os.waitstatus_to_exitcode(status)
            with contextlib.suppress(OSError):  # it is just ending
                self.type(insisting)
            insisting = ""

    def _read(self, deadline: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self._raw += data
        self.seen = self._raw.decode(errors="replace")
        return bool(data)


def eventually(look: Any, within: float = PATIENCE) -> Any:
    """What ``look()`` gives once that is true; fails when it is not in time."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.02)
    return found
