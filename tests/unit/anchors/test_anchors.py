"""Each anchor keeps the whole statement, or says that it did not."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oneoff.anchors import CommandAnchor, FileAnchor, StdoutAnchor
from oneoff.audit.evidence import Statement, read
from oneoff.audit.merkle import Checkpoint
from oneoff.errors import AnchorFailed
from tests.cli import eventually

STATEMENT = Statement(
    origin="oneoff/ab", checkpoint=Checkpoint(6, b"\1" * 32), note=None, at=datetime(2026, 3, 1, tzinfo=UTC)
)


class TestStdout:
    """A line on one of the standard streams."""

    def test_the_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One JSON document on one line."""
        StdoutAnchor().keep(STATEMENT, stdout_taken=False)
        printed = capsys.readouterr()
        assert (printed.out.count("\n"), printed.err) == (1, "")
        assert json.loads(printed.out)["oneoff.checkpoint"]["size"] == 6

    def test_a_document_has_standard_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Then the line goes beside it."""
        StdoutAnchor().keep(STATEMENT, stdout_taken=True)
        assert capsys.readouterr() == ("", STATEMENT.line)

    def test_nobody_listens(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is a failure: the checkpoint is nowhere."""
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            with pytest.raises(AnchorFailed, match="Broken pipe"):
                StdoutAnchor().keep(STATEMENT, stdout_taken=False)
            with pytest.raises(BrokenPipeError):
                stream.close()


class TestFile:
    """A line at the end of a file."""

    def test_lines_are_added(self, tmp_path: Path) -> None:
        """And read again as evidence."""
        path = tmp_path / "anchors.jsonl"
        for _ in range(2):
            FileAnchor(path).keep(STATEMENT, stdout_taken=True)
        text = path.read_text()
        assert text == STATEMENT.line * 2
        found = read(text, origin="oneoff/ab", keys=[], fits=lambda *_: False)
        assert [each.checkpoint for each in found] == [STATEMENT.checkpoint] * 2

    def test_many_at_once(self, tmp_path: Path) -> None:
        """No line is torn."""
        path = tmp_path / "anchors.jsonl"
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: FileAnchor(path).keep(STATEMENT, stdout_taken=True), range(80)))
        assert path.read_text() == STATEMENT.line * 80

    def test_after_a_line_that_was_cut(self, tmp_path: Path) -> None:
        """The next one stands on a line of its own."""
        path = tmp_path / "anchors.jsonl"
        path.write_text(STATEMENT.line[:30])
        FileAnchor(path).keep(STATEMENT, stdout_taken=True)
        assert path.read_text() == f"{STATEMENT.line[:30]}\n{STATEMENT.line}"

    @pytest.mark.parametrize("where", ["none/anchors.jsonl", "."])
    def test_no_such_place(self, tmp_path: Path, where: str) -> None:
        """Said in words."""
        with pytest.raises(AnchorFailed, match="could not be written"):
            FileAnchor(tmp_path / where).keep(STATEMENT, stdout_taken=True)

    def test_a_disk_without_room(self) -> None:
        """Linux has a device for that."""
        with pytest.raises(AnchorFailed, match="No space left"):
            FileAnchor(Path("/dev/full")).keep(STATEMENT, stdout_taken=True)

    def test_a_disk_that_is_full_in_the_middle(self, tmp_path: Path) -> None:
        """Half a line is no kept checkpoint."""
        with limited_files(20), pytest.raises(AnchorFailed, match="only 20 of"):
            FileAnchor(tmp_path / "anchors.jsonl").keep(STATEMENT, stdout_taken=True)


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes; Python ignores the signal that goes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestCommand:
    """A program that takes the note on its standard input."""

    def anchor(self, folder: Path, script: str, time_limit: float = 10.0) -> CommandAnchor:
        return CommandAnchor(["sh", "-c", script], cwd=folder, time_limit=time_limit)

    def test_note_and_variables(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Enough to name an object and to fill it; its own output stays away from ours."""
        script = 'cat >note; echo "$ONEOFF_CHECKPOINT_ORIGIN $ONEOFF_CHECKPOINT_SIZE" >name; echo loud'
        self.anchor(tmp_path, script).keep(STATEMENT, stdout_taken=True)
        assert (tmp_path / "note").read_text() == STATEMENT.text
        assert (tmp_path / "name").read_text() == "oneoff/ab 6\n"
        assert capfd.readouterr().out == ""

    def test_it_does_not_read(self, tmp_path: Path) -> None:
        """Its exit code alone says whether it has kept the note."""
        self.anchor(tmp_path, "exec <&-; exit 0").keep(STATEMENT, stdout_taken=True)

    def test_it_fails(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The exit code is told; its words are on standard error, and not in what is recorded."""
        anchor = self.anchor(tmp_path, "echo the token is 123 >&2; exit 7")
        with pytest.raises(AnchorFailed, match=r"^it ended with exit code 7$"):
            anchor.keep(STATEMENT, stdout_taken=True)
        assert capfd.readouterr().err == "the token is 123\n"
        assert anchor.name == "command sh"

    def test_it_is_not_there(self, tmp_path: Path) -> None:
        """Said in words."""
        with pytest.raises(AnchorFailed, match="could not be started: No such file"):
            CommandAnchor(["no-such-program"], cwd=tmp_path).keep(STATEMENT, stdout_taken=True)

    def test_it_takes_too_long(self, tmp_path: Path) -> None:
        """At the limit it is ended, with all that it has started."""
        began = time.monotonic()
        with pytest.raises(AnchorFailed, match=r"more than 0\.4 s"):
            self.anchor(tmp_path, "sleep 30 & echo $! >child; wait", 0.4).keep(STATEMENT, stdout_taken=True)
        assert time.monotonic() - began < 15
        child = int((tmp_path / "child").read_text())
        eventually(lambda: not alive(child))


def alive(pid: int) -> bool:
    """Whether it still runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
