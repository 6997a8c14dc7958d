"""Receipts by the command line, and by the script that needs nothing of oneoff."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import Project

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "reference" / "check_receipt.py"


@pytest.fixture
def receipt(shop: Project) -> Path:
    """The receipt of a run with others before and after it."""
    shop("run", "greet")
    shop("run", "greet", "--name", "Jürgen 店", "--reason", "because")
    run_id = shop.latest()["id"]
    shop("run", "fail")
    written = shop("audit", "prove", run_id, "-o", "receipt.json")
    assert written.code == 0, written.err
    return shop.root / "receipt.json"


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The standalone script, with nothing of this project on its path."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_receipt_is_verified_without_a_store(receipt: Path, tmp_path: Path) -> None:
    """In an empty folder: it says who, what, when and how it ended, and what it does not show."""
    empty = tmp_path / "empty"
    empty.mkdir()
    shown = Project(empty)("audit", "check", str(receipt))
    assert shown.code == 0, shown.err
    for words in ("requested", "starting", "outcome", "task greet in local", "succeeded", "because"):
        assert words in shown.out
    assert "does not show that the checkpoint is genuine" in shown.out
    assert list(empty.iterdir()) == []
    ended = script(str(receipt))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_on_standard_output_and_input(shop: Project, receipt: Path) -> None:
    """As every other filter."""
    printed = shop("audit", "prove", "@latest")
    assert printed.json["run"] == shop.latest()["id"]
    checked = shop("audit", "check", "-", "-o", "json", stdin=printed.out)
    assert checked.json["ok"] is True
    assert checked.json["genuine"] is None
    assert len(checked.json["events"]) == 3


def test_against_a_checkpoint_that_was_kept(shop: Project, receipt: Path) -> None:
    """The same one, another one of that size, and one that counts other events."""
    kept = json.loads(receipt.read_text())["checkpoint"]
    size, _, root = kept.partition(":")
    wrong = f"{size}:{root[::-1]}"
    earlier = shop("run", "greet", "-o", "json").json["checkpoint"]
    for checkpoint, code, words in (
        (kept, 0, "genuine if that one is"),
        (wrong, 1, "NOT ok"),
        (earlier, 1, "audit prove RUN --checkpoint"),
    ):
        checked = shop("audit", "check", str(receipt), "--checkpoint", checkpoint)
        assert (checked.code, words in checked.out) == (code, True), checked.out
        assert script(str(receipt), checkpoint).returncode == code
    run_id = json.loads(receipt.read_text())["run"]
    shop("audit", "prove", run_id, "-o", "again.json", "--checkpoint", earlier)
    assert shop("audit", "check", "again.json", "--checkpoint", earlier).code == 0
    refused = shop("audit", "prove", run_id, "--checkpoint", wrong)
    assert (refused.code, "does not begin" in refused.err) == (1, True)


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


TAMPERINGS: dict[str, Callable[[str], str]] = {
    "another ending": lambda text: change(text, "succeeded", "cancelled"),
    "another name": lambda text: change(text, "Jürgen", "Joachim"),
    "another run": lambda text: change(text, '"run": "', '"run": "x'),
    "another place": lambda text: change(text, '"place": 4', '"place": 5'),
    "another checkpoint": lambda text: change(text, '"checkpoint": "9:', '"checkpoint": "8:'),
    "no events": lambda text: json.dumps({**json.loads(text), "events": []}),
    "no proof": lambda text: json.dumps(
        {**json.loads(text), "events": [{**entry, "proof": []} for entry in json.loads(text)["events"]]}
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_receipt_that_was_changed(shop: Project, receipt: Path, tampering: str) -> None:
    """Both say so."""
    receipt.write_text(TAMPERINGS[tampering](receipt.read_text()))
    checked = shop("audit", "check", str(receipt))
    assert checked.code == 1
    assert "error:" in checked.err
    assert "Traceback" not in checked.err
    ended = script(str(receipt))
    assert (ended.returncode, "WRONG" in ended.stdout) == (1, True), ended.stdout + ended.stderr


def test_a_receipt_that_was_cut_short(shop: Project, receipt: Path) -> None:
    """That is said; nonsense is another thing."""
    whole = receipt.read_text()
    receipt.write_text(whole[: len(whole) // 2])
    cut = shop("audit", "check", str(receipt))
    assert (cut.code, "cut short" in cut.err) == (1, True)
    receipt.write_bytes(b"\xff\x00 nonsense")
    assert shop("audit", "check", str(receipt)).code == 2
    assert shop("audit", "check", "nowhere.json").code == 2
    assert script(str(receipt)).returncode == 2


def test_a_run_that_is_not_there(shop: Project, receipt: Path) -> None:
    """As everywhere."""
    assert shop("audit", "prove", "nobody").code == 2


def test_the_script_is_short_enough_to_be_read() -> None:
    """An auditor reads it before running it."""
    assert len(SCRIPT.read_text().splitlines()) <= 100
