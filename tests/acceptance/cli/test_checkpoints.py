"""Keys, notes, anchors and exports from the command line, as an installation and its auditor have them."""

from __future__ import annotations

import json
import signal
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from oneoff.audit.merkle import Growth, leaf_hash
from tests import tiled
from tests.cli import PATIENCE, Ended, Project, eventually

AUDIT = """
[tool.oneoff.audit]
key = "audit.key"
anchors = [
    "stdout",
    { file = "anchors.jsonl" },
    { command = ["sh", "-c", "cat >note.$ONEOFF_CHECKPOINT_SIZE"] },
]
"""


@pytest.fixture
def signed(shop: Project) -> Project:
    """A shop with an empty store, a key and three anchors."""
    shop("doctor")
    made = shop("audit", "keygen", "--name", "shop.example/audit", "audit.key")
    assert made.code == 0
    (shop.root / "vkey").write_text(made.out)
    settings = shop.root / "pyproject.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + AUDIT, encoding="utf-8")
    return shop


def vkey(project: Project) -> str:
    return (project.root / "vkey").read_text().strip()


def rewrite(project: Project) -> None:
    """Change the first event and all that is computed from it: what a store's administrator can do."""
    connection = sqlite3.connect(project.root / ".oneoff" / "store.db")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%RAISE%'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    growth = Growth()
    for seq, body in connection.execute("SELECT seq, body FROM audit_event ORDER BY seq").fetchall():
        changed = body.replace(b'"name":"you"', b'"name":"bob"')
        row = (changed, growth.add(leaf_hash(changed)), seq)
        connection.execute("UPDATE audit_event SET body = ?, hashes = ? WHERE seq = ?", row)
    connection.commit()
    connection.close()


class TestKeys:
    """``audit keygen`` and what a key is used for."""

    def test_a_key_is_made(self, shop: Project) -> None:
        """The public half is the output, the private one a file for its owner; no store is needed."""
        made = shop("audit", "keygen", "--name", "shop.example/audit", "k")
        assert made.out.startswith("shop.example/audit+") and "PRIVATE" not in made.out + made.err
        assert (shop.root / "k").stat().st_mode & 0o777 == 0o600
        assert not (shop.root / ".oneoff").exists()
        again = shop("audit", "keygen", "--name", "shop.example/audit", "k")
        assert (again.code, again.out) == (2, "")
        assert shop("audit", "keygen", "--name", "a b", "l").code == 2

    def test_without_a_store(self, shop: Project) -> None:
        """An empty log that nobody has is not stated."""
        ended = shop("audit", "checkpoint")
        assert (ended.code, ended.out) == (3, "")
        assert "there is no checkpoint: there is no store" in ended.err

    def test_a_note_and_its_check(self, signed: Project) -> None:
        """The auditor needs the public key alone, and takes the note from a file, the line or a pipe."""
        note = signed("audit", "checkpoint").out
        origin, size, _, blank, signature = note.splitlines()
        assert (origin.startswith("oneoff/"), size, blank) == (True, "0", "")
        assert signature.startswith("\u2014 shop.example/audit ")
        (signed.root / "audit.key").unlink()
        (signed.root / "n.txt").write_text(note, encoding="utf-8")
        for ended in (
            signed("audit", "verify", "--checkpoint", "n.txt", "--key", vkey(signed)),
            signed("audit", "verify", "--checkpoint", note.strip(), "--key", vkey(signed)),
            signed("audit", "verify", "--checkpoint", "-", "--key", vkey(signed), stdin=note),
        ):
            assert ended.code == 0, ended.err
            assert "signed by shop.example/audit" in ended.out

    def test_the_forms(self, signed: Project) -> None:
        """Text where it is wanted; JSON with both."""
        document = signed("audit", "checkpoint", "-o", "json").json
        assert document["note"].startswith(document["origin"])
        assert signed("audit", "checkpoint", "--format", "text").out.strip() == document["checkpoint"]

    def test_what_does_not_fit(self, signed: Project) -> None:
        """A wrong key and a changed note end with 1, what cannot be meant with 2, and each says why."""
        note = signed("audit", "checkpoint").out
        other = signed("audit", "keygen", "--name", "shop.example/audit", "other").out.strip()

        def verify(text: str, *arguments: str) -> Ended:
            return signed("audit", "verify", "--checkpoint", text, *arguments)

        wrong = verify(note, "--key", other)
        assert (wrong.code, "none of that is a known key" in wrong.err) == (1, True)
        forged = verify(note.replace("\n0\n", "\n5\n"), "--key", vkey(signed))
        assert (forged.code, "changed or forged" in forged.err) == (1, True)
        elsewhere = verify(note.replace("oneoff/", "oneoff/0"))
        assert (elsewhere.code, "changed or forged" in elsewhere.err) == (1, True)
        nonsense = verify("nonsense")
        assert (nonsense.code, "neither a checkpoint nor a file" in nonsense.err) == (2, True)
        assert verify(note.replace("\n0\n", "\nzero\n")).code == 2
        assert verify(note, "--key", "nonsense").code == 2
        assert verify("0:" + "0" * 64, "--key", vkey(signed)).code == 2
        assert signed("audit", "verify", "--key", vkey(signed)).code == 2

    def test_a_key_for_everybody(self, signed: Project) -> None:
        """It signs nothing; a run goes on, and says so aloud."""
        (signed.root / "audit.key").chmod(0o644)
        refused = signed("audit", "checkpoint")
        assert (refused.code, "open to others" in refused.err) == (2, True)
        ended = signed("run", "greet")
        assert ended.code == 0
        assert "WARNING" in ended.err and "open to others" in ended.err
        assert signed("doctor").code == 1

    def test_without_a_key(self, shop: Project) -> None:
        """A checkpoint all the same; a note cannot be had."""
        shop("doctor")
        assert shop("audit", "checkpoint").out.startswith("0:")
        refused = shop("audit", "checkpoint", "--format", "note")
        assert (refused.code, "keygen" in refused.err) == (2, True)

    def test_the_variable_names_the_key(self, shop: Project) -> None:
        """As a mounted secret does."""
        shop("doctor")
        shop("audit", "keygen", "--name", "shop.example/audit", "k")
        environ = {"ONEOFF_AUDIT_KEY": str(shop.root / "k")}
        assert "\u2014 shop.example/audit" in shop("audit", "checkpoint", environ=environ).out


class TestAnchors:
    """What is outside the store after a run."""

    def test_all_of_them_have_it(self, signed: Project) -> None:
        """A line on standard output, one in the file, the note in the object."""
        ended = signed("run", "greet")
        hello, line = ended.out.splitlines()
        assert hello == "hello you"
        assert json.loads(line)["oneoff.checkpoint"]["size"] == 3
        assert (signed.root / "anchors.jsonl").read_text() == line + "\n"
        assert (signed.root / "note.3").read_text(encoding="utf-8").count("\n") == 5
        assert signed("audit", "verify", "--checkpoint", "note.3").code == 0
        several = signed("audit", "verify", "--checkpoint", line, "--checkpoint", "note.3", "-o", "json").json
        assert [each["vouched"] for each in several["compared_with"]] == ["signed by shop.example/audit"] * 2

    def test_a_document_stays_one(self, signed: Project) -> None:
        """With ``-o json`` the line is beside it."""
        ended = signed("run", "greet", "-o", "json")
        assert ended.json["status"] == "succeeded"
        assert "oneoff.checkpoint" in ended.err

    def test_a_protected_environment(self, signed: Project) -> None:
        """Intent and outcome, each outside before the next step."""
        signed("run", "greet", "--env", "production", "--confirm", "production", "--reason", "OPS-1")
        assert len((signed.root / "anchors.jsonl").read_text().splitlines()) == 2

    def test_a_detached_run(self, signed: Project) -> None:
        """The process that runs the task gives the checkpoint."""
        run = signed("run", "greet", "--detach", "-o", "json").json
        assert signed("wait", run["id"]).code == 0
        eventually(lambda: (signed.root / "note.3").exists())

    def test_a_log_that_was_rewritten_as_a_whole(self, signed: Project) -> None:
        """It agrees with itself; the anchors know better, also where the newest ones were made after that."""
        signed("run", "greet")
        rewrite(signed)
        auditor = partial(signed, environ={"XDG_STATE_HOME": str(signed.root / "auditor")})  # saw nothing
        assert auditor("audit", "verify").code == 0
        assert auditor("audit", "verify", "--checkpoint", "note.3").code == 1
        auditor("run", "greet")
        assert auditor("audit", "verify", "--checkpoint", "note.8").code == 0  # two looks before it
        found = auditor("audit", "verify", "--checkpoint", "anchors.jsonl")
        assert found.code == 1
        assert "the first 3 events" in found.out and "rewritten" in found.out

    def test_a_log_that_was_cut(self, signed: Project) -> None:
        """Its newest events are gone, and the anchor has counted them."""
        signed("run", "greet")
        store = (signed.root / ".oneoff" / "store.db").read_bytes()
        signed("run", "greet")
        for name in ("store.db-wal", "store.db-shm"):
            (signed.root / ".oneoff" / name).unlink(missing_ok=True)
        (signed.root / ".oneoff" / "store.db").write_bytes(store)
        found = signed("audit", "verify", "--checkpoint", "anchors.jsonl")
        assert (found.code, "had 6 events once, and now it has 3" in found.out) == (1, True)

    def test_an_anchor_that_fails(self, signed: Project) -> None:
        """The outcome is what it was; the failure is on standard error and in the log."""
        settings = signed.root / "pyproject.toml"
        settings.write_text(settings.read_text(encoding="utf-8").replace("cat >note", "exit 7; >"))
        ended = signed("run", "greet")
        assert ended.code == 0
        assert "WARNING" in ended.err and "exit code 7" in ended.err
        last = signed("audit", "log", "-o", "json").json[-1]["event"]
        assert last["type"] == "dev.oneoff.audit.log.anchor_failed.v1"
        assert last["data"]["anchor"] == "command sh"
        assert signed("audit", "checkpoint", "--anchor").code == 1

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_request_to_end_waits_for_the_anchor(self, signed: Project, number: int) -> None:
        """The run has ended, and a pod that is told to go has seconds left: the checkpoint is worth them."""
        settings = signed.root / "pyproject.toml"
        slow = settings.read_text(encoding="utf-8").replace("cat >note", "touch at-work; sleep 1; cat >note")
        settings.write_text(slow, encoding="utf-8")
        process = signed.start("run", "greet")
        eventually(lambda: (signed.root / "at-work").exists())
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, "WARNING" in err) == (0, False), err
        assert (signed.root / "note.3").read_text(encoding="utf-8").startswith("oneoff/")

    def test_a_heartbeat(self, signed: Project) -> None:
        """From cron, so that silence is a signal."""
        ended = signed("audit", "checkpoint", "--anchor")
        assert ended.code == 0
        assert (signed.root / "note.0").exists()
        assert ended.out.startswith("oneoff/") and "oneoff.checkpoint" in ended.err

    def test_a_heartbeat_without_an_anchor(self, shop: Project) -> None:
        """That beats nowhere."""
        assert shop("audit", "checkpoint", "--anchor").code == 2

    def test_doctor(self, shop: Project, signed: Project) -> None:
        """It names the anchors, and who signs."""
        found = {entry["name"]: entry for entry in signed("doctor", "-o", "json").json}
        assert "anchors.jsonl" in found["anchors"]["message"]
        assert found["signing"]["message"] == f"as {vkey(signed)}"


class TestExport:
    """``audit export`` to a file, to standard output and to a folder."""

    def test_lines(self, signed: Project) -> None:
        """To standard output or to a file, and each export is an event."""
        signed("run", "greet")
        printed = signed("audit", "export")
        assert [json.loads(line)["seq"] for line in printed.out.splitlines()] == [0, 1, 2]
        assert signed("audit", "export", "--format", "ocsf", "events.jsonl").out == ""
        found = (signed.root / "events.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["class_uid"] for line in found] == [6003] * 4
        assert json.loads(found[-1])["api"]["operation"] == "log.exported"
        assert signed("audit", "export", "--format", "ecs", "--since", "1h", "--until", "30m").out == ""

    def test_a_file_is_whole_or_not_there(self, signed: Project) -> None:
        """One that cannot be written stays as it was."""
        signed("run", "greet")
        ended = signed("audit", "export", "none/events.jsonl")
        assert (ended.code, "cannot be written" in ended.err) == (1, True)
        assert not list(signed.root.glob(".*unfinished"))

    def test_tiles(self, signed: Project) -> None:
        """A folder that an independent reader understands, with a signed checkpoint."""
        signed("run", "greet")
        for size in (3, 4):
            assert signed("audit", "export", "--format", "tiles", "tiles").code == 0
            assert len(tiled.read(signed.root / "tiles")) == size
        checkpoint = str(Path("tiles") / "checkpoint")
        ended = signed("audit", "verify", "--checkpoint", checkpoint, "--key", vkey(signed))
        assert (ended.code, "signed by" in ended.out) == (0, True)
        rewrite(signed)
        auditor = {"XDG_STATE_HOME": str(signed.root / "auditor")}  # saw nothing
        refused = signed("audit", "export", "--format", "tiles", "tiles", environ=auditor)
        assert (refused.code, "rewritten" in refused.err) == (1, True)

    @pytest.mark.parametrize("arguments", [["tiles"], ["tiles", "folder", "--names"], ["nothing"]])
    def test_what_cannot_be_meant(self, shop: Project, arguments: list[str]) -> None:
        """Tiles are a folder, and the whole log."""
        assert shop("audit", "export", "--format", *arguments).code == 2
