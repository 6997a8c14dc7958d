"""What people type: parameters, secrets, answers to questions; and what is said of mistakes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.cli import Project

KEY = "s3cr3t-wörd"


class TestParameters:
    """A task's own options."""

    def test_every_mistake_at_once(self, shop: Project) -> None:
        """Each is named with its value and what is allowed; nothing is recorded."""
        ended = shop("run", "greet", "--times", "nine")
        assert ended.code == 2
        assert "times: 'nine' is not a whole number" in ended.err and "at least 1, at most 3" in ended.err
        ended = shop("run", "size", "--kind", "z", "--text", "@missing.txt")
        assert ended.code == 2
        assert "kind: 'z'" in ended.err and "one of a, b" in ended.err
        assert "text: the file 'missing.txt' cannot be read" in ended.err
        assert shop("run", "size").code == shop("run", "greet", "--times", "4").code == 2
        assert shop.runs() == []

    def test_unknown_names(self, shop: Project) -> None:
        """The nearest one is named."""
        task = shop("run", "gret")
        assert (task.code, "did you mean greet?" in task.err) == (2, True)
        option = shop("run", "greet", "--nam", "x")
        assert (option.code, "--name" in option.err) == (2, True)
        environment = shop("run", "greet", "--env", "prodction")
        assert (environment.code, "did you mean 'production'?" in environment.err) == (2, True)
        assert shop("run", "GREET").code == 0

    def test_a_value_from_a_file(self, shop: Project, tmp_path: Path) -> None:
        """A megabyte, standard input, and a text that begins with the sign itself."""
        (shop.root / "big.txt").write_text("ü" * 500_000 + "\n", encoding="utf-8")
        assert shop("run", "size", "--text", "@big.txt").out == "got 500000\n"
        assert len(shop.latest()["parameters"]["text"]) == 500_000
        assert shop("audit", "verify").code == 0
        assert shop("run", "size", "--text", "@-", stdin="five!").out == "got 5\n"
        assert shop("run", "size", "--text", "@@me").out == "got 3\n"
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        assert "is not text in UTF-8" in shop("run", "size", "--text", f"@{tmp_path / 'binary'}").err

    def test_a_model_of_the_apps(self, shop: Project) -> None:
        """A pydantic model is given as JSON, and its own words say what is wrong."""
        app = ("--app", "shop.models:admin")
        good, bad = '{"street": "Ö 1", "number": 1}', '{"street": "x", "number": "many"}'
        assert shop(*app, "run", "move", "--address", good).out == "to Ö 1 2\n"
        ended = shop(*app, "run", "move", "--address", bad)
        assert ended.code == 2
        assert "address: number: Input should be a valid integer" in ended.err
        schema = shop(*app, "show", "move", "-o", "json").json["parameters"]
        assert "street" in json.dumps(schema)

    def test_an_async_task(self, shop: Project) -> None:
        """It runs like any other."""
        assert shop("run", "fetch", "--n", "7").out == "fetched 7\n"

    def test_a_command_task(self, shop: Project) -> None:
        """Its variables and folder are those of the settings, its code is in the record."""
        ended = shop("run", "build", "-o", "json")
        assert (ended.code, ended.json["exit_code"]) == (1, 4)
        assert f"hello from {shop.root}" in ended.err
        assert shop("run", "drop", "--yes").out == "dropped\n"


class TestSecrets:
    """A secret is used, and can be found nowhere afterwards."""

    @pytest.fixture
    def key_file(self, tmp_path: Path) -> str:
        path = tmp_path / "key"
        path.write_text(KEY + "\n", encoding="utf-8")
        return f"@{path}"

    def test_from_a_file(self, shop: Project, key_file: str) -> None:
        """The task gets it; no record, no log and no output holds it."""
        ended = shop("run", "login", "--token", key_file, "-o", "json")
        assert ended.code == 0
        assert f"token of {len(KEY)} and None" in ended.err
        assert ended.json["parameters"]["token"] == "********"
        assert KEY not in ended.out + ended.err
        assert shop.files_with("login") != []
        assert shop.files_with(KEY) == []

    def test_never_on_a_command_line(self, shop: Project) -> None:
        """It is refused where others can read it, and not repeated."""
        ended = shop("run", "login", "--token", KEY)
        assert ended.code == 2
        assert "must not stand on a command line" in ended.err
        assert KEY not in ended.err
        assert shop("runs").out == "no runs\n"
        assert shop.files_with(KEY) == []

    def test_nobody_to_ask(self, shop: Project) -> None:
        """Without a terminal it has to come from a file."""
        ended = shop("run", "login")
        assert ended.code == 2
        assert "give --token @FILE" in ended.err

    def test_asked_at_the_terminal(self, shop: Project) -> None:
        """It is not shown while it is typed."""
        with shop.terminal("run", "login") as person:
            person.read_until("token: ")
            person.type(KEY + "\n")
            assert person.end() == 0
        assert f"token of {len(KEY)} and None" in person.seen
        assert KEY not in person.seen
        assert shop.files_with(KEY) == []

    @pytest.mark.parametrize("key", ["\x03", "\x04"])
    def test_not_given(self, shop: Project, key: str) -> None:
        """Ctrl-C and Ctrl-D give no empty secret: nothing runs."""
        with shop.terminal("run", "login") as person:
            person.read_until("token: ")
            person.type(key)
            assert person.end(insisting="\x03" if key == "\x03" else "") == 2
        assert "was not given" in person.seen
        assert shop.runs() == []

    def test_asked_again_at_a_rerun(self, shop: Project, key_file: str) -> None:
        """Each that the earlier run had, from a file or at the terminal; it was kept nowhere."""
        assert shop("run", "login", "--token", key_file, "--spare", key_file).code == 0
        without = shop("rerun", "@latest")
        assert without.code == 2
        assert "give --token @FILE" in without.err and "give --spare @FILE" in without.err
        again = shop("rerun", "@latest", "--token", key_file, "--spare", key_file)
        assert again.out.startswith(f"token of {len(KEY)} and {len(KEY)}\n")
        assert shop("rerun", "@latest", "--tokn", key_file).code == 2
        with shop.terminal("rerun", "@latest", "--spare", key_file) as person:
            person.read_until("token: ")
            person.type("other\n")
            assert person.end() == 0
        assert f"token of 5 and {len(KEY)}" in person.seen
        assert shop.files_with(KEY) == []

    def test_detached(self, shop: Project, key_file: str) -> None:
        """It reaches the other process, and shows in no argument list and no variable of it."""
        run = shop("run", "hold", "--token", key_file, "--detach", "-o", "json").json
        pid = run["process"]["pid"]
        shown = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, check=True).stdout
        assert run["id"].encode() in shown
        assert KEY.encode() not in shown
        assert KEY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
        assert shop("cancel", run["id"]).code == 0
        assert shop("wait", run["id"]).code == 5
        assert "holding" in shop("logs", run["id"]).out
        assert shop.files_with(KEY) == []


class TestConfirmation:
    """Questions at a real terminal, and where there is none."""

    def test_no_terminal(self, shop: Project) -> None:
        """Refused with exit 3, recorded, and the command that would work does."""
        ended = shop("run", "drop")
        assert ended.code == 3
        (way_out,) = re.findall(r"^next:  oneoff (.*)$", ended.err, re.MULTILINE)
        assert shop(*way_out.split()).out == "dropped\n"
        assert [run["status"] for run in shop.runs()] == ["succeeded", "refused"]
        assert "refused" in shop("audit", "log").out

    def test_a_used_id_is_not_suggested(self, shop: Project) -> None:
        """The refused run keeps its id, so the suggestion is without it."""
        ended = shop("run", "drop", "--run-id", "mine", "--reason", "a b")
        assert ended.err.splitlines()[-1] == "next:  oneoff run drop --reason 'a b' --yes"

    @pytest.mark.parametrize(
        ("typed", "code", "status"),
        [("y\n", 0, "succeeded"), ("n\n", 3, "refused"), ("\x03", 3, "refused"), ("\x04", 3, "refused")],
    )
    def test_a_question(self, shop: Project, typed: str, code: int, status: str) -> None:
        """Yes runs it; no, Ctrl-C and Ctrl-D do not."""
        with shop.terminal("run", "drop") as person:
            person.read_until("Drop it? [y/N]")
            person.type(typed)
            assert person.end(insisting="\x03" if typed == "\x03" else "") == code
        run = shop.latest()
        assert (run["status"], run["confirmation"]) == (status, "answered" if code == 0 else None)
        assert "Traceback" not in person.seen

    @pytest.mark.parametrize(
        ("typed", "code"), [("production\n", 0), ("prod\n", 3), ("\n", 3), ("yes\n", 3), ("\x03", 3)]
    )
    def test_a_protected_environment(self, shop: Project, typed: str, code: int) -> None:
        """Its name has to be typed; nothing else will do, not even --yes."""
        arguments = ["run", "greet", "--env", "production", "--reason", "OPS-7", "--yes"]
        with shop.terminal(*arguments) as person:
            person.read_until("Type production to go on")
            person.type(typed)
            assert person.end(insisting="\x03" if typed == "\x03" else "") == code
        run = shop.latest()
        assert run["confirmation"] == ("environment typed" if code == 0 else None)
        assert (run["environment"], run["protected"]) == ("production", True)

    @pytest.mark.parametrize("name", ["CI", "GITHUB_RUN_ID", "CI_JOB_ID", "BUILDKITE_BUILD_ID"])
    def test_to_say_that_it_is_ci_changes_nothing(self, shop: Project, name: str) -> None:
        """Anybody can set a variable: it is recorded, and nothing is allowed or refused by it."""
        asks = ("run", "drop"), ("run", "drop", "--env", "production", "--yes", "--reason", "OPS-1")
        for arguments in asks:
            human, ci = shop(*arguments), shop(*arguments, environ={name: "1"})
            assert (human.code, human.err) == (ci.code, ci.err) and human.code == 3
        assert {run["actor"]["kind"] for run in shop.runs()} == {"human", "ci"}
        assert shop("run", "greet", environ={name: "1"}).code == 0

    @pytest.mark.parametrize(
        "typed",
        [
            ["greet", "--reason", "so", "--name", "--x"],
            ["greet", "--reason=so", "--name", "--x"],
            ["--reason", "so", "greet", "--name", "--x"],
        ],
    )
    def test_an_option_is_suggested_once(self, shop: Project, typed: list[str]) -> None:
        """The value that does not do is replaced, however it was given; all else stays."""
        ended = shop("run", "--env", "production", "--yes", *typed)
        assert ended.code == 3
        way_out = "oneoff run --env production --yes greet --name --x --reason '…' --confirm production"
        assert ended.err.splitlines()[-1] == f"next:  {way_out}"

    def test_a_reason_is_wanted(self, shop: Project) -> None:
        """Missing or not of the pattern it is refused; all that is missing is named at once."""
        missing = shop("run", "greet", "--env", "production")
        assert missing.code == 3
        assert missing.err.splitlines()[-1].endswith("--reason '…' --confirm production")
        assert shop("run", "greet", "--env", "production", "--reason", "just so").code == 3
        confirmed = ["--env", "production", "--reason", "OPS-7", "--confirm"]
        assert shop("run", "greet", *confirmed, "staging").code == 3
        assert shop("run", "greet", *confirmed, "production").code == 0
        dry = shop("run", "purge", "--env", "production", "--dry-run")
        assert dry.code == 0
