"""``oneoff audit selftest`` over SQLite: every attack is seen, or not seen, as the documents say."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from oneoff.cli.asker import TerminalAsker
from oneoff.cli.main import main
from oneoff.commands.selftest import trial
from oneoff.commands.selftest.attacks import GROUPS, NOBODY, Attack, Check, Group
from oneoff.wiring.selftest import sqlite_bench
from tests.acceptance.test_docs import PROJECT, blocks, commands, first_missing
from tests.cli import PATIENCE, Project

PAGE = PROJECT / "docs" / "reference" / "attacks.md"
ATTACKS = [attack for group in GROUPS for attack in group.attacks]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def temporary(tmp_path: Path) -> Mapping[str, str]:
    """Variables that name a folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return {"TMPDIR": str(folder)}


def left_in(temporary: Mapping[str, str]) -> list[str]:
    return [file.name for file in Path(temporary["TMPDIR"]).iterdir()]


def test_every_attack_is_seen_as_documented(project: Project, temporary: Mapping[str, str]) -> None:
    """All are tried, over the product's own store; neither a store nor a file of the test's own is left."""
    ended = project("audit", "selftest", "-o", "json", environ=temporary)
    found = ended.json
    assert [each["attack"] for each in found["attacks"] if not each["as_documented"]] == []
    assert (ended.code, ended.err, found["ok"]) == (0, "", True)
    assert [each["attack"] for each in found["attacks"]] == [attack.name for attack in ATTACKS]
    for each, attack in zip(found["attacks"], ATTACKS, strict=True):
        assert each["seen"] == {check.value: check in attack.seen_by for check in Check}
        assert each["how"].keys() == {check.value for check in attack.seen_by}
    assert left_in(temporary) == []
    assert [file.name for file in project.root.iterdir()] == ["temporary"]


def test_the_page_shows_what_it_prints(project: Project) -> None:
    """The block at the head of the page is what the command prints."""
    [block] = [block for block in blocks(PAGE) if block.tested_by and block.tested_by.endswith("sqlite.py")]
    [command] = commands(block)
    ended = project(*command.line.split()[1:])
    assert ended.code == command.exit_code
    assert first_missing(command.output, ended.out) is None, ended.out


@pytest.mark.parametrize("group", GROUPS[1:], ids=lambda group: group.title)
def test_the_page_is_the_table(group: Group) -> None:
    """What the page says of an attack is what the command holds to be right."""
    assert f"## {group.title}\n\n{as_markdown(group)}\n" in PAGE.read_text(encoding="utf-8")


def as_markdown(group: Group) -> str:
    """The table of a group as it stands on the page."""
    headings = ["Attack", *Check, "What it does", "What helps"]
    lines = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for attack in group.attacks:
        cells = ("seen" if check in attack.seen_by else "–" for check in Check)
        lines.append("| " + " | ".join([f"`{attack.name}`", *cells, attack.does, attack.helps]) + " |")
    return "\n".join(lines)


@pytest.mark.parametrize("attack", ATTACKS[1:], ids=lambda attack: attack.name)
def test_what_is_not_seen_has_an_answer(attack: Attack) -> None:
    """Where one of the checks is blind, the table says what helps; the first alone is blind by itself."""
    assert bool(attack.helps) == bool(frozenset(Check) - attack.seen_by - {Check.ALONE})


def test_what_differs_from_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is marked and named, and the command ends with 1."""
    edit = next(attack for attack in ATTACKS if attack.name == "edit")
    monkeypatch.setattr(trial, "GROUPS", [Group("Wrong", [ATTACKS[0], replace(edit, seen_by=NOBODY)])])
    ended = CliRunner().invoke(main, ["audit", "selftest"])
    assert ended.exit_code == 1
    assert "seen (!)" in ended.output
    assert ended.output.endswith("NOT as documented (!): edit\n")


def test_where_nothing_can_be_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``oneoff[signing]`` all the rest is tried, and the command says what was not."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setattr(trial, "GROUPS", GROUPS[-1:])
    ended = CliRunner().invoke(main, ["audit", "selftest"])
    assert ended.exit_code == 0, ended.output
    lines = {line.split(" ", 1)[0]: line for line in ended.output.splitlines()}
    assert lines["forge-line"].split()[1:6] == ["-", "seen", "-", "not", "tried"]
    assert lines["forge-key"].split()[1:3] == ["not", "tried"]
    assert "Signatures were not tried: they need oneoff[signing]." in ended.output


def test_killed_in_the_middle(
    project: Project, temporary: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves behind goes with the next one."""
    process = project.start("audit", "selftest", environ=temporary)
    folder, deadline = Path(temporary["TMPDIR"]), time.monotonic() + PATIENCE
    while not list(folder.rglob("whole.backup")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert left_in(temporary) != []
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with sqlite_bench(TerminalAsker()):
        assert len(left_in(temporary)) == 1
    assert left_in(temporary) == []


def test_no_room_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is tried, in words."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    ended = CliRunner().invoke(main, ["audit", "selftest"])
    assert ended.exit_code == 3
    assert "no temporary folder can be made: No such file or directory" in ended.output
