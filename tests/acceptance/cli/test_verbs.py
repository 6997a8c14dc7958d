"""Every verb, as text for people and as JSON for programs, with its exit code."""

from __future__ import annotations

import json
import re
import signal
import sys

import pytest

from oneoff.cli.main import COMMANDS
from tests.cli import Project, eventually

ID = r"\d{8}-\d{6}-[0-9a-z]{6}"


class TestRun:
    """``run`` in this process."""

    def test_what_people_see(self, shop: Project) -> None:
        """The task's own output is the standard output; what oneoff has to say is beside it."""
        ended = shop("run", "greet", "--name", "Zoë 你好", "--reason", "weil: ü")
        assert (ended.code, ended.out) == (0, "hello Zoë 你好\n")
        assert re.search(rf"^run {ID} succeeded after \d+ ms$", ended.err, re.MULTILINE)
        run = shop.latest()
        assert (run["parameters"]["name"], run["reason"]) == ("Zoë 你好", "weil: ü")

    def test_json_is_one_document(self, shop: Project) -> None:
        """What the task and its children print goes elsewhere, and what the app prints at import."""
        admin = shop.root / "shop" / "admin.py"
        admin.write_text("print('importing')\n" + admin.read_text())
        run = shop("run", "greet", "-o", "json")
        assert run.json["status"] == "succeeded"
        assert "hello you" in run.err and "importing" in run.err
        raw = shop("exec", "-o", "json", "--", "echo", "from a child")
        assert raw.json["exit_code"] == 0
        assert "from a child" in raw.err
        assert shop("tasks", "-o", "json").json[0]["name"] == "build"
        assert shop("run", "greet", "--dry-run", "-o", "json").json["dry_run"] is True

    @pytest.mark.parametrize(
        ("arguments", "code", "status"),
        [
            (["greet"], 0, "succeeded"),
            (["fail"], 1, "failed"),
            (["fail", "--code", "3"], 1, "failed"),
            (["drop"], 3, "refused"),
            (["late"], 6, "timed_out"),
            (["slow"], 6, "timed_out"),
            (["purge", "--dry-run"], 0, "succeeded"),
            (["purge", "--dry-run", "--exit-code"], 10, "succeeded"),
            (["greet", "--dry-run", "--exit-code"], 0, "succeeded"),
            (["build", "--dry-run"], 1, "failed"),
            (["build", "--dry-run", "--require-level", "copy"], 3, "refused"),
        ],
    )
    def test_exit_codes(self, shop: Project, arguments: list[str], code: int, status: str) -> None:
        """Each says how the run ended, and ``wait`` says it again."""
        assert shop("run", *arguments).code == code
        run = shop.latest()
        assert run["status"] == status
        assert shop("wait", run["id"]).code == (0 if code == 10 else code)

    def test_options_before_and_behind_the_task(self, shop: Project) -> None:
        """The options of a run may stand on either side, in every spelling."""
        for arguments in (
            ["--reason", "x", "-o", "json", "greet", "--name", "bob"],
            ["--reason=x", "-ojson", "greet", "--name=bob"],
            ["greet", "--name", "bob", "--reason=x", "--output=json"],
            ["--output", "json", "greet", "--reason", "x", "--name", "bob"],
        ):
            run = shop("run", *arguments).json
            assert (run["reason"], run["parameters"]["name"]) == ("x", "bob")

    def test_a_failure_shows_their_traceback(self, shop: Project) -> None:
        """The frames are the app's own; the record keeps them."""
        ended = shop("run", "fail")
        assert 'raise ValueError("no luck with ümlauts")' in ended.err
        assert "oneoff/" not in ended.err and "asyncio" not in ended.err
        assert shop.latest()["error"] == "ValueError: no luck with ümlauts"

    def test_the_same_id_twice(self, shop: Project) -> None:
        """It runs once; asked for differently, the id is refused."""
        assert shop("run", "greet", "--run-id", "mine").out == "hello you\n"
        again = shop("run", "greet", "--run-id", "mine")
        assert (again.code, again.out) == (0, "")
        assert "not started again" in again.err
        assert shop("run", "greet", "--name", "bob", "--run-id", "mine").code == 3
        assert shop("run", "fail", "--run-id", "mine").code == 2
        assert shop("run", "greet", "--run-id", "No Id").code == 2
        assert len(shop.runs()) == 1

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_stops_it_well(self, shop: Project, number: signal.Signals) -> None:
        """The task is asked to stop at its next safe point; exit 75 says that it can be resumed."""
        process = shop.start("run", "work")
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=15)
        assert (process.returncode, out) == (75, "stopped well\n")
        assert shop.latest()["status"] == "interrupted"

    def test_a_held_lock(self, shop: Project) -> None:
        """A second run is refused and told who holds it; a cancel ends the first with exit 5."""
        process = shop.start("run", "work", "--run-id", "first")
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        second = shop("run", "work")
        assert second.code == 3
        assert 'the lock "users" is held by run first of work' in second.err
        asked = shop("cancel", "first", "--reason", "enough", "-o", "json")
        assert (asked.code, asked.json["status"]) == (0, "stopping")
        process.communicate(timeout=15)
        assert process.returncode == 5
        assert shop("cancel", "first").code == 3

    def test_killed(self, shop: Project) -> None:
        """Whoever looks next sees that it is lost, with exit 7."""
        process = shop.start("run", "work", "--run-id", "first")
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.communicate(timeout=15)
        assert shop("wait", "first").code == 7
        assert shop.latest()["status"] == "lost"


class TestLookingAtRuns:
    """``show``, ``runs``, ``logs``, ``wait``."""

    def test_show(self, shop: Project) -> None:
        """By id, by its beginning, by @latest; a task by its name, which goes before a beginning."""
        shop("run", "greet", "--run-id", "greet-1")
        shop("run", "fetch", "--n", "1", "--run-id", "zz-1")
        assert shop("show", "zz", "-o", "json").json["id"] == "zz-1"
        assert shop("show", "@latest", "-o", "json").json["id"] == "zz-1"
        assert shop("show", "greet-1", "-o", "json").json["id"] == "greet-1"
        assert shop("show", "greet", "-o", "json").json["name"] == "greet"
        assert shop("show", "gree", "-o", "json").json["id"] == "greet-1"
        text = shop("show", "zz-1").out
        assert re.search(r"^status +succeeded$", text, re.MULTILINE)
        assert "Grüße jemanden – 你好." in shop("show", "greet").out
        missing = shop("show", "gret")
        assert missing.code == 2
        assert "did you mean greet?" in missing.err and "no run of that id" in missing.err

    def test_a_run_is_shown_without_its_app(self, shop: Project) -> None:
        """What has happened can be read where the app is broken."""
        shop("run", "greet", "--run-id", "greet-1")
        (shop.root / "shop" / "admin.py").write_text("raise RuntimeError")
        assert shop("show", "gr", "-o", "json").json["id"] == "greet-1"
        assert shop("runs").code == shop("logs", "@latest").code == 0

    def test_several_fit(self, shop: Project) -> None:
        """The beginning of two ids is no id; both are named."""
        shop("exec", "--run-id", "aa-1", "--", "true")
        shop("exec", "--run-id", "aa-2", "--", "true")
        ended = shop("wait", "aa")
        assert ended.code == 2
        assert "aa-1" in ended.err and "aa-2" in ended.err

    def test_runs(self, shop: Project) -> None:
        """A list, newest first, cut down by task, status, person and time."""
        assert shop("runs").out == "no runs\n"
        assert shop("runs", "-o", "json").json == []
        shop("run", "greet", "--run-id", "one")
        shop("run", "fail", "--run-id", "two")
        actor = shop.latest()["actor"]["name"]

        def ids(*filters: str) -> list[str]:
            return [run["id"] for run in shop("runs", "-o", "json", *filters).json]

        assert ids() == ["two", "one"]
        assert ids("--status", "failed") == ["two"]
        assert ids("--status", "failed", "--status", "succeeded", "--limit", "1") == ["two"]
        assert ids("--task", "greet", "--actor", actor, "--since", "1h") == ["one"]
        assert ids("--actor", "nobody") == ids("--since", "2999-01-01") == []
        assert re.search(r"^two +fail +failed ", shop("runs").out, re.MULTILINE)

    @pytest.mark.parametrize(
        "filters",
        [["--status", "done"], ["--since", "yesterday"], ["--limit", "0"], ["--since", "2026-99-99"]],
    )
    def test_filters_that_mean_nothing(self, shop: Project, filters: list[str]) -> None:
        """A mistake of the command, without a traceback."""
        ended = shop("runs", *filters)
        assert ended.code == 2
        assert "Traceback" not in ended.err

    def test_logs(self, shop: Project) -> None:
        """What starts, and what the run has printed, on both streams, byte for byte."""
        shop("exec", "--", "printf", "a\\0b\\377")
        (path,) = (shop.root / ".oneoff" / "store.d" / "logs").iterdir()
        first, printed = path.read_bytes().split(b"\n", 1)
        assert b"starts: exec in local" in first
        assert printed.startswith(b"a\0b\xff\ncheckpoint 3:")
        shop("run", "greet")
        assert "hello you" in shop("logs", "@latest").out
        assert shop("logs", "nope").code == 2

    def test_nothing_yet(self, shop: Project) -> None:
        """@latest of nothing is a clear mistake."""
        ended = shop("show", "@latest")
        assert ended.code == 2
        assert "there is no run yet" in ended.err


class TestRerun:
    """``rerun``."""

    def test_the_frozen_parameters(self, shop: Project) -> None:
        """The values are those of then, whatever the defaults are by now; changed code is said."""
        shop("run", "greet", "--loud", "--run-id", "first")
        same = shop("rerun", "first")
        assert (same.code, same.out) == (0, "HELLO you\n")
        assert "changed since" not in same.err
        admin = shop.root / "shop" / "admin.py"
        admin.write_text(admin.read_text().replace('= "you"', '= "all"'))
        changed = shop("rerun", "first", "-o", "json")
        assert changed.json["parameters"] == {"name": "you", "times": 1, "loud": True}
        assert changed.json["rerun_of"] == "first"
        assert "changed since run first: the task's package" in changed.err

    def test_a_change_in_another_file(self, shop: Project) -> None:
        """What the task calls may be in any file of its package."""
        shop("run", "greet", "--run-id", "first")
        with (shop.root / "shop" / "models.py").open("a") as file:
            file.write("# changed\n")
        assert "changed since run first: the task's package" in shop("rerun", "first").err

    def test_a_dry_run_again(self, shop: Project) -> None:
        """It stays one."""
        shop("run", "purge", "--dry-run")
        assert shop("rerun", "@latest", "-o", "json").json["dry_run"] is True

    def test_a_raw_command_again(self, shop: Project) -> None:
        """It needs no app."""
        shop("exec", "--", "echo", "a b")
        assert shop("rerun", "@latest").out == "a b\n"

    def test_it_stays_in_its_environment(self, shop: Project) -> None:
        """What ran in production is confirmed for production again."""
        there = ["--env", "production", "--confirm", "production", "--reason", "OPS-1"]
        assert shop("run", "greet", *there).code == 0
        ended = shop("rerun", "@latest", "--reason", "OPS-2")
        assert ended.code == 3
        assert ended.err.splitlines()[-1].endswith("oneoff rerun @latest --reason OPS-2 --confirm production")

    def test_a_task_that_is_gone(self, shop: Project) -> None:
        """It cannot be run again, and nothing is recorded."""
        shop("run", "greet")
        admin = shop.root / "shop" / "admin.py"
        admin.write_text(admin.read_text().replace("def greet", "def salute"))
        assert shop("rerun", "@latest").code == 2
        assert len(shop.runs()) == 1


class TestAudit:
    """``audit``."""

    def test_log_and_verify(self, shop: Project) -> None:
        """Every run is in it, whoever looks; the whole is computed again."""
        assert shop("audit", "log").out == "no events\n"
        shop("run", "greet", "--run-id", "one", "--reason", "weil: ü")
        shop("run", "drop", "--run-id", "two")
        verified = shop("audit", "verify", "-o", "json")
        assert (verified.code, verified.json["ok"], verified.json["size"]) == (0, True, 5)
        assert shop("audit", "verify").out.startswith("ok: 6 events")
        entries = shop("audit", "log", "-o", "json").json
        assert [entry["seq"] for entry in entries] == list(range(7))
        assert entries[0]["event"]["data"]["reason"] == "weil: ü"
        assert entries[6]["event"]["data"]["size"] == 6
        assert len(shop("audit", "log", "--run", "two", "-o", "json").json) == 2
        assert re.search(r"refused +two +drop", shop("audit", "log").out)
        assert shop("audit", "log", "--all", "-o", "json").out.startswith('[\n  {\n    "seq": 0,')

    def test_every_look_is_recorded(self, shop: Project) -> None:
        """With what was asked for, and no person's name; the look itself is not shown."""
        shop("run", "greet")
        user = shop.latest()["actor"]
        assert shop("audit", "log", "--actor", user["name"], "--type", "outcome").out.count("outcome") == 1
        (look,) = shop("audit", "log", "--type", "log.queried", "-o", "json").json
        data = look["event"]["data"]
        assert data["initiator"]["subject"] == user["subject"]
        assert data["filters"] == {"actor": [user["subject"]], "type": "outcome", "limit": 100}
        assert user["name"] not in json.dumps(data["filters"])

    def test_filters_and_limits(self, shop: Project) -> None:
        """The newest, printed oldest first; whether older ones match is said on standard error."""
        shop("run", "greet")
        shop("run", "greet", "--reason", "again")
        shop("run", "drop")

        def seqs(*given: str) -> list[int]:
            return [entry["seq"] for entry in shop("audit", "log", *given, "-o", "json").json]

        assert seqs("--task", "greet", "--limit", "2") == [4, 5]
        assert "older ones match" in shop("audit", "log", "--task", "greet", "--limit", "2").err
        assert "did you mean 'outcome'?" in shop("audit", "log", "--type", "outcom").err
        assert shop("audit", "log", "--task", "greet", "--limit", "6").err == ""
        assert seqs("--status", "refused") == [7]
        assert seqs("--not-measured", "--all") == seqs("--not-measured") == [2, 5]
        assert seqs("--env", "local", "--task", "greet", "--type", "outcome") == [2, 5]
        assert seqs("--until", "1h") == seqs("--since", "2999-01-01") == seqs("--table", "nothing") == []
        assert len(seqs("--since", "1h", "--limit", "0", "--task", "greet")) == 6
        assert shop("audit", "log", "--since", "soon").code == 2
        assert re.search(r"succeeded; rows not measured; confirmed: none needed", shop("audit", "log").out)


class TestAboutHere:
    """``tasks``, ``release``, ``doctor``, help."""

    def test_tasks(self, shop: Project) -> None:
        """A table with summaries; JSON with the schema of the parameters."""
        assert "greet  Grüße jemanden – 你好." in shop("tasks").out
        tasks = {task["name"]: task for task in shop("tasks", "-o", "json").json}
        assert tasks["greet"]["parameters"]["properties"]["times"]["maximum"] == 3
        assert tasks["build"]["command"][0] == "sh"
        assert tasks["slow"]["timeout_seconds"] == 0.3

    def test_release(self, shop: Project) -> None:
        """The version of the project and the commit that is checked out."""
        git = shop.root / ".git"
        git.mkdir()
        (git / "HEAD").write_text("c0ffee\n")
        assert shop("release", "-o", "json").json["commit"] == "c0ffee"
        assert re.search(r"^version +1\.4$", shop("release").out, re.MULTILINE)

    def test_doctor(self, shop: Project) -> None:
        """All is well, or exit 1 with what is not."""
        well = shop("doctor")
        assert well.code == 0, well.out
        (shop.root / "shop" / "admin.py").write_text("import oneoff\nadmin = 1 / 0\n")
        unwell = shop("doctor", "-o", "json")
        assert unwell.code == 1
        bad = [finding for finding in unwell.json if not finding["ok"]]
        assert [finding["name"] for finding in bad] == ["app", "dry run"]
        assert "division by zero" in bad[0]["message"]

    def test_help(self, shop: Project) -> None:
        """Of the whole, of each verb, of a task in its own words; ``python -m oneoff`` is the same."""
        assert "Run a task, or preview it" in shop("--help").out
        for verb in COMMANDS:
            assert shop(verb, "-h").code == 0
        text = shop("run", "greet", "--help").out
        assert "Grüße jemanden – 你好." in text
        assert "--loud / --no-loud" in text and "--dry-run" in text
        module = shop("--version", program=(sys.executable, "-m", "oneoff"))
        assert module.out == shop("--version").out
        assert shop("nope").code == 2


class TestExec:
    """``exec``: a raw command, recorded like any run."""

    def test_its_own_code_is_kept(self, shop: Project) -> None:
        """In the record; the process says 1, as for any task that failed."""
        ended = shop("exec", "-o", "json", "--", "sh", "-c", "exit 9")
        assert (ended.code, ended.json["exit_code"], ended.json["status"]) == (1, 9, "failed")
        assert ended.json["command"] == ["sh", "-c", "exit 9"]

    def test_its_options_are_its_own(self, shop: Project) -> None:
        """With or without the two dashes, what stands behind the program belongs to it."""
        assert shop("exec", "--", "echo", "--yes", "-o").out == "--yes -o\n"
        assert shop("exec", "echo", "--yes", "-o").out == "--yes -o\n"

    def test_a_signal_reaches_it(self, shop: Project) -> None:
        """And the record says which one ended it."""
        process = shop.start("exec", "--", "sh", "-c", "echo up; exec sleep 60")
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
        assert process.returncode == 75
        assert "SIGTERM" in shop.latest()["error"]

    def test_no_such_program(self, shop: Project) -> None:
        """It is refused: nothing ran."""
        ended = shop("exec", "--", "no-such-program")
        assert ended.code == 3
        assert "there is no program no-such-program" in ended.err

    def test_no_command(self, shop: Project) -> None:
        """A mistake of the command."""
        assert shop("exec").code == shop("exec", "--").code == 2

    def test_the_way_out_leaves_the_command_whole(self, shop: Project) -> None:
        """The options that were missing go before it, and the suggested command works."""
        ended = shop("exec", "--env", "production", "--reason", "OPS-1", "--", "echo", "a b")
        assert ended.code == 3
        way_out = "oneoff exec --env production --reason OPS-1 --confirm production -- echo 'a b'"
        assert ended.err.splitlines()[-1].endswith(way_out)

    def test_undecodable_bytes(self, shop: Project) -> None:
        """An argument that is no UTF-8 arrives as it is, and the JSON stays valid."""
        ended = shop("exec", "-o", "json", "--", b"echo", b"\xff", environ={"LC_ALL": "C.UTF-8"})
        assert ended.code == 0
        assert ended.json["command"] == ["echo", "\udcff"]


class TestDetached:
    """``--detach``: a process of its own."""

    def test_started_followed_and_awaited(self, shop: Project) -> None:
        """The command returns at once; the log is followed to the end; wait gives the run's exit code."""
        started = shop("run", "work", "--detach", "-o", "json")
        assert started.code == 0
        run_id = started.json["id"]
        assert started.json["status"] in ("launched", "running")
        follower = shop.start("logs", "-f", run_id)
        assert follower.stdout is not None
        assert "starts: work in local" in follower.stdout.readline()
        assert follower.stdout.readline() == "at work\n"
        assert shop("cancel", run_id).code == 0
        out, _ = follower.communicate(timeout=15)
        assert follower.returncode == 0
        assert "stopped well\n" in out
        waited = shop("wait", run_id, "-o", "json")
        assert (waited.code, waited.json["status"]) == (5, "cancelled")

    def test_a_raw_command_and_a_dry_run(self, shop: Project) -> None:
        """Both run in a process of their own as they do here."""
        assert shop("exec", "--detach", "--run-id", "raw", "--", "echo", "a b").code == 0
        assert shop("run", "purge", "--dry-run", "--detach", "--run-id", "dry").code == 0
        assert shop("wait", "raw").code == shop("wait", "dry").code == 0
        assert "a b\n" in shop("logs", "raw").out
        report = shop("show", "dry", "-o", "json").json["dry_run_report"]
        assert report["databases"][0]["tables"][0]["deleted"] == 2

    def test_a_process_that_cannot_start(self, shop: Project) -> None:
        """The run is refused and says why; its log has the traceback."""
        admin = shop.root / "shop" / "admin.py"
        admin.write_text(
            "import sys\nif '--run-id' in sys.argv: raise RuntimeError('not twice')\n" + admin.read_text()
        )
        ended = shop("run", "greet", "--detach")
        assert ended.code == 3
        assert "refused: shop.admin cannot be imported: RuntimeError: not twice" in ended.err
        assert "not twice" in shop("logs", "@latest").out

    def test_it_is_confirmed_first(self, shop: Project) -> None:
        """Nobody can be asked later."""
        assert shop("run", "drop", "--detach").code == 3
        shop("run", "drop", "--detach", "--yes", "--run-id", "yes")
        assert shop("wait", "yes").code == 0

    def test_it_can_be_taken_from_the_list(self, shop: Project) -> None:
        """It is seen at work, and cancelled by force where it does not listen."""
        shop("exec", "--detach", "--run-id", "deaf", "--", "sh", "-c", "trap '' TERM; sleep 60 & wait; wait")
        eventually(lambda: shop.latest()["status"] == "running")
        shop("cancel", "deaf", "--force")
        assert shop("wait", "deaf").code == 5
