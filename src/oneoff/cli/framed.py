"""``oneoff --framed``: the same command line, with both of its streams and its end on standard output.

An errand's process: whoever reads its log is elsewhere, and knows what they saw last of the audit log, which
is compared and comes back with the end. See :mod:`oneoff.kube.following.frames`.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

from oneoff.audit.witness import Sighting
from oneoff.errors import OneoffError
from oneoff.kube.following.frames import FIRST_FRAME, Stream, frames, last_frame

OPTION: Final = "--framed"
NOTHING_SEEN: Final = "-"
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
_LEFT_OPEN: Final = 2.0
"""Seconds of silence after the command's end, for as long as something that it started has its streams."""


def run_framed(seen: str) -> int:
    """Run this process's own command line without the option, and print what it prints in frames.

    Args:
        seen: What whoever asks saw last of the audit log, as :meth:`Sighting.line` writes it.

    Returns:
        The command's exit code; 128 and the signal's number where it was killed.
    """
    out = _Frames()
    with _witness(seen) as (environ, recall):
        code = _run(without_option(sys.orig_argv), {**os.environ, **environ}, out)
        out.end(code, recall())
    return code


def without_option(argv: Sequence[str]) -> list[str]:
    """The command line again; the option is oneoff's first, so no word of a command can be taken for it."""
    words = list(argv)
    place = next(at for at, word in enumerate(words) if word.partition("=")[0] == OPTION)
    del words[place : place + (1 if "=" in words[place] else 2)]
    return [sys.executable, *words[1:]]


def _run(argv: Sequence[str], environ: Mapping[str, str], out: _Frames) -> int:
    started: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: object) -> None:
        for process in started:
            process.send_signal(number)

    with ExitStack() as stack:
        for number in _PASSED_ON:
            stack.callback(signal.signal, number, signal.signal(number, pass_on))
        process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            threading.Thread(target=out.copy, args=(stream, pipe), daemon=True)
            for stream, pipe in ((1, process.stdout), (2, process.stderr))
        ]
        for reader in readers:
            reader.start()
        code = process.wait()
        for reader in readers:
            while reader.is_alive() and out.silent_for() < _LEFT_OPEN:
                reader.join(_LEFT_OPEN)
    return code if code >= 0 else 128 - code


class _Frames:
    """Standard output, written to by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[Stream, list[bytes]] = {1: [], 2: []}
        """What has come of a line so far."""
        self._count = 0
        self._ended = False
        self._last = time.monotonic()
        self._write(FIRST_FRAME)

    def copy(self, stream: Stream, pipe: IO[bytes]) -> None:
        while chunk := os.read(pipe.fileno(), 1 << 16):
            with self._lock:
                if self._ended:
                    return
                self._take(stream, chunk)
                self._last = time.monotonic()

    def silent_for(self) -> float:
        """Seconds since the last of it was written; whoever reads it may be slow."""
        with self._lock:
            return time.monotonic() - self._last

    def end(self, code: int, note: str) -> None:
        with self._lock:
            self._ended = True
            for stream, begun in self._begun.items():
                if begun:
                    self._line(stream, b"".join(begun))
            self._write(last_frame(code, self._count, note))

    def _take(self, stream: Stream, chunk: bytes) -> None:
        for line in io.BytesIO(chunk):
            self._begun[stream].append(line)
            if line.endswith(b"\n"):
                self._line(stream, b"".join(self._begun[stream]))
                self._begun[stream].clear()

    def _line(self, stream: Stream, line: bytes) -> None:
        for frame in frames(stream, line):
            self._count += 1
            self._write(frame)

    def _write(self, text: bytes) -> None:
        with suppress(OSError):  # nobody reads it: the command goes on all the same
            while text:
                text = text[os.write(1, text) :]


@contextmanager
def _witness(seen: str) -> Iterator[tuple[Mapping[str, str], Any]]:
    """Variables by which the command remembers what somebody elsewhere saw, and what it has seen then.

    A pod remembers nothing by itself; and its own folders may not be written.
    """
    from oneoff.settings import load
    from oneoff.stores.witness import FileWitness

    try:
        settings = load(Path.cwd())
        folder = TemporaryDirectory(prefix="oneoff-", dir=settings.state)
    except (OneoffError, OSError):  # what is wrong the command says
        yield {}, str
        return
    with folder as name:
        witness = FileWitness(Path(name) / "oneoff", settings.place, lambda text: None)
        sighting = Sighting.read(seen)
        if sighting is not None:
            witness.remember(sighting)

        def recall() -> str:
            last = witness.recall()
            return last.line() if last is not None else ""

        yield {"XDG_STATE_HOME": name}, recall
