"""What the documents tell their readers to do works as they say.

How a document is read:

- In a ``console`` block, a line that starts with ``$`` is a command, and ``\\`` at its end continues it. The
  lines below it are what it prints: each of them has to appear in its output, in that order, where ``…``
  stands for anything and runs of blanks are equal. A command ends with exit code 0 unless its line says
  otherwise: ``$ oneoff run x  # exits 3``.
- ``<!-- file: NAME -->`` before a block: the block is that file, and is written at this place of the page.
- ``<!-- tested by: PATH -->`` before a console block: its commands are executed by that test instead.

The tutorial is played in an empty folder; a how-to page goes on in the folder that the tutorial leaves.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TUTORIAL = PROJECT / "docs" / "tutorial.md"
HOW_TOS = sorted((PROJECT / "docs" / "how-to").glob("*.md"))
PAGES = sorted(
    [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "examples").rglob("*.md")]
)

BLOCK = re.compile(
    r"^(?:<!-- (?P<note>file|tested by): (?P<value>.+?) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EXITS = re.compile(r"\s+# exits (\d+)$")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    file: str | None
    tested_by: str | None
    line: int


@dataclass
class Command:
    """A command with what the page says of its end."""

    line: str
    exit_code: int
    output: list[str] = field(default_factory=list)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        note, value = found["note"], found["value"]
        yield Block(
            language=found["language"],
            text=found["text"],
            file=value if note == "file" else None,
            tested_by=value if note == "tested by" else None,
            line=text.count("\n", 0, found.start()) + 1,
        )


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            exits = EXITS.search(line)
            found.append(Command(EXITS.sub("", line)[2:], int(exits[1]) if exits else 0))
        elif line.strip():
            assert found, f"output before the first command: {line}"
            found[-1].output.append(line)
    return found


class Reader:
    """Somebody who does what a page says, in a folder of their own, without a terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._where = folder.parent / f"{folder.name}.cwd"
        self._cwd = folder
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("ONEOFF_", "FLIGHTS_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environ = kept | {"PATH": path, "HOME": str(folder.parent)}

    def play(self, page: Path) -> None:
        """Write the files and execute the commands of a page, in its order."""
        for block in blocks(page):
            if block.file is not None:
                target = self._cwd / block.file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, encoding="utf-8")
            elif block.language == "console" and block.tested_by is None:
                for command in commands(block):
                    self._execute(command, f"{page.name}, block of line {block.line}")

    def _execute(self, command: Command, place: str) -> None:
        script = f"trap 'pwd >\"{self._where}\"' EXIT\n{command.line}\n"
        ended = subprocess.run(
            ["sh", "-c", script],
            cwd=self._cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        self._cwd = Path(self._where.read_text().strip())
        shown = f"{place}\n$ {command.line}\n{ended.stdout}"
        assert ended.returncode == command.exit_code, f"{shown}\nexit code {ended.returncode}"
        missing = first_missing(command.output, ended.stdout)
        assert missing is None, f"{shown}\nnot printed: {missing}"


def first_missing(expected: list[str], output: str) -> str | None:
    """The first line of the page that the output does not have, or not in that place."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for wanted in expected:
        parts = [re.escape(" ".join(part.split())) for part in wanted.split("…")]
        pattern = re.compile(r"\s*.*?\s*".join(parts))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


@pytest.fixture(scope="module")
def after_tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as the tutorial leaves it."""
    folder = tmp_path_factory.mktemp("tutorial") / "club"
    folder.mkdir()
    Reader(folder).play(TUTORIAL)
    return folder


def test_the_readme_works(tmp_path: Path) -> None:
    """Every command of the README does what it says, in an empty folder."""
    folder = tmp_path / "shop"
    folder.mkdir()
    Reader(folder).play(PROJECT / "README.md")


def test_the_tutorial_works(after_tutorial: Path) -> None:
    """Every command of the tutorial does what it says, from an empty folder on."""
    assert (after_tutorial / ".oneoff" / "store.db").exists()


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_a_how_to_works(page: Path, after_tutorial: Path, tmp_path: Path) -> None:
    """Every how-to page works in the folder that the tutorial leaves."""
    folder = tmp_path / "club"
    shutil.copytree(after_tutorial, folder)
    Reader(folder).play(page)


def test_the_readme_of_the_example_works(tmp_path: Path) -> None:
    """Its commands do what they say, from an empty data folder on."""
    folder = tmp_path / "flights"
    shutil.copytree(
        PROJECT / "examples" / "flights",
        folder,
        ignore=shutil.ignore_patterns("data", ".oneoff", "__pycache__"),
    )
    Reader(folder).play(PROJECT / "examples" / "flights" / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_block_can_be_read(page: Path) -> None:
    """Python, TOML and JSON in a document have no mistakes of form, and a test that is named exists."""
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        if block.tested_by is not None:
            assert (PROJECT / block.tested_by).is_file(), block.tested_by


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link to a file or a heading of this project finds it."""
    for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{target} does not exist"
        if heading:
            assert heading in anchors(found), f"{target} has no heading #{heading}"


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_no_command_hides_from_this_test(page: Path) -> None:
    """Whatever a reader would type stands in a console block, and no block is indented out of sight."""
    assert not re.search(r"^[ \t]+```", page.read_text(encoding="utf-8"), re.MULTILINE)
    for block in blocks(page):
        assert block.language not in {"sh", "bash", "shell"}, f"line {block.line} is not executed"


@pytest.mark.parametrize(
    ("block", "fails"),
    [
        ("$ exit 3  # exits 3", False),
        ("$ exit 3", True),
        ("$ true  # exits 3", True),
        ("$ echo one   two\none two", False),
        ("$ echo 12 members\n12 member", True),
        ("$ echo 12 members\n… members", False),
        ("$ printf 'a\\nb\\n'\na\nb", False),
        ("$ printf 'a\\nb\\n'\nb\na", True),
        ("$ mkdir x && cd x\n$ basename $PWD\nx", False),
        ("$ cat note.txt\nwritten", False),
        ("$ echo a \\\n  b\na b", False),
    ],
)
def test_a_document_that_is_wrong_is_noticed(block: str, fails: bool, tmp_path: Path) -> None:
    """The reader fails for another exit code and for output that is missing or in another order."""
    folder = tmp_path / "folder"
    folder.mkdir()
    page = tmp_path / "page.md"
    page.write_text(f"<!-- file: note.txt -->\n```text\nwritten\n```\n\n```console\n{block}\n```\n")
    if fails:
        with pytest.raises(AssertionError, match="block of line 6"):
            Reader(folder).play(page)
    else:
        Reader(folder).play(page)
