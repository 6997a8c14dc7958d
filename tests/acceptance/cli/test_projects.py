"""Finding the app and its settings, and what is said where something is wrong with them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import ONEOFF, Project

APP = """
import oneoff

admin = oneoff.App("little")


@admin.task
def greet() -> None:
    print("hello from here")
"""


class TestWhere:
    """Where the app and the store are."""

    def test_three_ways_to_name_the_app(self, bare: Project) -> None:
        """On the command line, by a variable, in the settings; the nearer one goes first."""
        bare.write(here_py=APP, other_py=APP.replace("from here", "from there"))
        assert bare("tasks").code == 2
        assert bare("--app", "here:admin", "run", "greet").out == "hello from here\n"
        named = {"ONEOFF_APP": "here:admin"}
        assert bare("run", "greet", environ=named).out == "hello from here\n"
        assert bare("--app", "other:admin", "run", "greet", environ=named).out == "hello from there\n"
        bare.write(oneoff_toml='[tool.oneoff]\napp = "other:admin"\n')
        assert bare("run", "greet").out == "hello from there\n"
        assert bare("run", "greet", environ=named).out == "hello from here\n"

    def test_an_app_that_is_made_by_a_function(self, bare: Project) -> None:
        """``MODULE:create`` is called."""
        bare.write(here_py=APP + "\n\ndef create():\n    return admin\n")
        assert bare("--app", "here:create", "run", "greet").code == 0

    def test_from_a_folder_below(self, shop: Project) -> None:
        """The settings above are found, and the records are theirs."""
        below = shop.root / "shop" / "sub"
        assert shop("run", "greet", cwd=below).code == 0
        assert str(shop.root) in shop("run", "build", cwd=below).out
        assert len(shop.runs()) == 2
        assert not (below / ".oneoff").exists()

    def test_another_store(self, shop: Project, tmp_path: Path) -> None:
        """ONEOFF_STORE names it; nothing is written below the project then."""
        elsewhere = tmp_path / "else" / "where.db"
        assert shop("run", "greet", environ={"ONEOFF_STORE": str(elsewhere)}).code == 0
        assert elsewhere.is_file()
        assert not (shop.root / ".oneoff").exists()
        assert shop("runs", "-o", "json").json == []

    def test_commands_need_no_app(self, bare: Project) -> None:
        """A project of command tasks alone, and a raw command without any settings."""
        assert bare("exec", "--", "echo", "raw").out == "raw\n"
        bare.write(oneoff_toml='[tool.oneoff.tasks.hello]\ncommand = ["echo", "grüß dich"]\n')
        assert bare("run", "hello").out == "grüß dich\n"

    def test_a_folder_that_is_gone(self, tmp_path: Path) -> None:
        """It is said, with no traceback."""
        gone = tmp_path / "gone"
        gone.mkdir()
        ended = subprocess.run(
            ["sh", "-c", f"rmdir {shlex.quote(str(gone))} && exec {shlex.quote(ONEOFF)} tasks"],
            cwd=gone,
            env=Project(tmp_path).environ(None),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
        assert "the working folder is gone" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_store_that_cannot_be_made(self, shop: Project) -> None:
        """Nothing runs unrecorded."""
        (shop.root / "file").touch()
        ended = shop("run", "greet", environ={"ONEOFF_STORE": str(shop.root / "file" / "store.db")})
        assert (ended.code, ended.out) == (3, "")
        assert "next:" in ended.err
        assert "Traceback" not in ended.err


class TestBrokenApps:
    """An app that cannot be used."""

    @pytest.mark.parametrize(
        ("reference", "words"),
        [
            ("nope:admin", "there is no module 'nope'"),
            ("shop.nope:admin", "there is no module 'shop.nope'"),
            ("shop.admin:nope", "there is no 'nope' in shop.admin"),
            ("shop.admin:DATABASE", "is a PosixPath, not a oneoff.App"),
            ("shop.admin", "does not name an app"),
            (":", "does not name an app"),
        ],
    )
    def test_a_name_that_leads_nowhere(self, shop: Project, reference: str, words: str) -> None:
        """A mistake of the command, and how to name an app."""
        ended = shop("--app", reference, "tasks")
        assert ended.code == 2
        assert words in ended.err
        assert "MODULE:NAME" in ended.err
        assert "Traceback" not in ended.err

    def test_no_app_at_all(self, bare: Project) -> None:
        """The three ways to name one are named."""
        ended = bare("run", "greet")
        assert ended.code == 2
        for way in ("--app", "ONEOFF_APP", "[tool.oneoff]"):
            assert way in ended.err

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("import shop.missing", "No module named 'shop.missing'"),
            ("import no_such_library", "No module named 'no_such_library'"),
            ("raise LookupError('no luck')", "LookupError: no luck"),
            ("import sys; sys.exit(0)", "SystemExit: 0"),
            ("def (", "SyntaxError"),
        ],
    )
    def test_an_import_that_fails(self, shop: Project, code: str, words: str) -> None:
        """Their own traceback, none of our frames, exit 3; whatever they exit with, nothing has succeeded."""
        (shop.root / "shop" / "admin.py").write_text(code)
        ended = shop("run", "greet")
        assert (ended.code, ended.out) == (3, "")
        assert words in ended.err
        assert "admin.py" in ended.err
        assert "src/oneoff" not in ended.err and "importlib" not in ended.err
        assert "error: shop.admin cannot be imported" in ended.err

    def test_a_declaration_that_cannot_work(self, bare: Project) -> None:
        """It is named with the place of both, as wrong usage."""
        bare.write(here_py=APP + "\n\n@admin.task(name='greet')\ndef again() -> None: ...\n")
        ended = bare("--app", "here:admin", "tasks")
        assert ended.code == 2
        assert "two tasks are called greet" in ended.err
        assert "here.py" in ended.err

    @pytest.mark.parametrize("raised", ["KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError"])
    @pytest.mark.parametrize("where", ["admin", "create", "lazy"])
    def test_whatever_it_raises(self, bare: Project, where: str, raised: str) -> None:
        """At its import, in the function that makes it or looks it up: nothing ran, and that is said."""
        body = f"import asyncio\n{'raise ' + raised if where == 'admin' else ''}\n"
        body += f"def create():\n    raise {raised}\n"
        body += f"def __getattr__(name):\n    raise {raised} if name == 'lazy' else AttributeError(name)\n"
        bare.write(here_py=body)
        for arguments in (("run", "greet"), ("tasks",)):
            ended = bare("--app", f"here:{where}", *arguments)
            assert (ended.code, ended.out) == (3, ""), ended.err
            assert "here.py" in ended.err and "error: here" in ended.err
            assert "Aborted" not in ended.err


class TestRecordedRefusals:
    """Who asked for a task of an app that cannot be loaded asked all the same."""

    def test_a_broken_app(self, shop: Project) -> None:
        """``runs``, ``show`` and the audit log tell what was asked for, and why it came to nothing."""
        (shop.root / "shop" / "admin.py").write_text("raise LookupError('no luck')")
        asked = shop(
            *["run", "--reason=OPS-1", "purge", "--older-than", "3d", "--env", "production", "--dry-run"]
        )
        assert (asked.code, "no luck" in asked.err) == (3, True)
        (run,) = shop.runs()
        assert (run["task"], run["app"], run["status"]) == ("purge", "shop.admin:admin", "refused")
        assert (run["environment"], run["protected"]) == ("production", True)
        assert (run["dry_run"], run["reason"], run["started_at"]) == (True, "OPS-1", None)
        assert run["error"] == "shop.admin cannot be imported: LookupError: no luck"
        assert "LookupError: no luck" in shop("show", run["id"]).out
        assert "LookupError: no luck" in shop("audit", "log", "--run", run["id"]).out
        assert shop("audit", "verify").code == 0

    def test_an_app_that_is_not_found(self, shop: Project) -> None:
        """Its name is recorded as it was given."""
        assert shop("--app", "nope:admin", "run", "purge").code == 2
        (run,) = shop.runs()
        assert (run["app"], run["status"]) == ("nope:admin", "refused")
        assert "there is no module 'nope'" in run["error"]

    def test_a_rerun(self, shop: Project) -> None:
        """The same for what ran before."""
        shop("run", "greet", "--run-id", "first")
        (shop.root / "shop" / "admin.py").write_text("raise LookupError('no luck')")
        assert shop("rerun", "first").code == 3
        assert shop.latest()["rerun_of"] == "first"
        assert "no luck" in shop.latest()["error"]

    def test_a_launched_run(self, shop: Project) -> None:
        """A process of its own that cannot load the app ends its run with the reason."""
        admin = shop.root / "shop" / "admin.py"
        once = "from pathlib import Path\nPath(__file__).with_name('seen').mkdir()\n"
        admin.write_text(once + admin.read_text())
        launched = shop("run", "greet", "--detach", "--run-id", "x")
        ended = shop("wait", "x")
        assert (ended.code, shop("show", "x", "-o", "json").json["status"]) == (3, "refused"), launched.err
        assert "FileExistsError" in shop("audit", "log", "--run", "x").out

    @pytest.mark.parametrize(
        "arguments",
        [("run", "purge", "--help"), ("run", "--help"), ("run",), ("run", "--nope", "purge"), ("tasks",)],
    )
    def test_nothing_was_to_be_run(self, shop: Project, arguments: tuple[str, ...]) -> None:
        """Help and mistakes are no attempts."""
        (shop.root / "shop" / "admin.py").write_text("raise LookupError('no luck')")
        assert shop(*arguments).code != 0
        assert shop.runs() == []

    def test_a_task_that_is_not_there(self, shop: Project) -> None:
        """The command is wrong, and nothing is recorded."""
        assert shop("run", "nope").code == shop("run", "greet", "--nope").code == 2
        assert shop.runs() == []

    def test_no_app_is_named(self, bare: Project) -> None:
        """There is no project here, so no records are made either."""
        assert bare("run", "greet").code == 2
        assert not (bare.root / ".oneoff").exists()

    def test_no_store_can_be_reached(self, shop: Project) -> None:
        """Then the app's own error is what is told."""
        (shop.root / "shop" / "admin.py").write_text("raise LookupError('no luck')")
        (shop.root / "file").touch()
        ended = shop("run", "greet", environ={"ONEOFF_STORE": str(shop.root / "file" / "store.db")})
        assert (ended.code, "no luck" in ended.err, "store.db" in ended.err) == (3, True, False)


class TestSettings:
    """A settings file that cannot be used."""

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[tool.oneoff\n", "is not valid TOML"),
            ("[tool.oneoff]\nap = 'x'\n", "has no key 'ap' (did you mean 'app'?)"),
            ("[tool.oneoff.environments.live]\nprotectd = true\n", "did you mean 'protected'?"),
            ("[tool.oneoff]\napp = 3\n", "a text is wanted"),
            ("[tool.oneoff.tasks.x]\ncommand = 'rm -rf'\n", "a list of texts is wanted"),
            ("[tool.oneoff.tasks.x]\ncommand = ['true']\ntimeout = 0\n", "above 0"),
        ],
    )
    def test_it_is_named(self, bare: Project, text: str, words: str) -> None:
        """Exit 2 and what is wrong, before anything is run."""
        bare.write(oneoff_toml=text)
        ended = bare("exec", "--", "echo", "never")
        assert (ended.code, ended.out) == (2, "")
        assert words in ended.err
        assert "Traceback" not in ended.err

    def test_doctor_tells_it_as_well(self, bare: Project) -> None:
        """It is a finding among others."""
        bare.write(oneoff_toml="[tool.oneoff\n")
        ended = bare("doctor")
        assert ended.code == 1
        assert "BAD  settings" in ended.out
        assert ended.out.count("TOML") == 1
        assert "BAD  store      not looked at: needs the settings" in ended.out


class TestOwnCli:
    """``admin.cli()``: the CLI that an app ships as its own."""

    ALONE = (sys.executable, "-c", "from shop.manage import cli; cli(prog_name='shop')")
    MOUNTED = (sys.executable, "-c", "from shop.manage import manage; manage(prog_name='manage')")

    def test_as_a_program(self, shop: Project) -> None:
        """The tasks are its commands, with dry run, confirmation and JSON."""
        assert "Grüße jemanden – 你好." in shop("--help", program=self.ALONE).out
        assert shop("greet", "--name", "bob", program=self.ALONE).out == "hello bob\n"
        assert shop("-o", "json", "greet", program=self.ALONE).json["task"] == "greet"
        dry = shop("purge", "--dry-run", "--exit-code", program=self.ALONE)
        assert (dry.code, "users" in dry.out) == (10, True)
        refused = shop("purge", program=self.ALONE)
        assert refused.code == 3
        assert refused.err.splitlines()[-1] == "next:  shop purge --yes"
        assert shop("gret", program=self.ALONE).code == 2
        assert [run["task"] for run in shop.runs()] == ["purge", "purge", "greet", "greet"]

    def test_below_another_group(self, shop: Project) -> None:
        """It stands beside the app's own commands, whose context it leaves alone."""
        assert shop("other", program=self.MOUNTED).out == "another command of the app\n"
        assert shop("admin", "greet", program=self.MOUNTED).out == "hello you\n"
        refused = shop("admin", "--env", "production", "greet", "--reason", "OPS-1", program=self.MOUNTED)
        assert refused.code == 3
        way_out = "manage admin --env production greet --reason OPS-1 --confirm production"
        assert refused.err.splitlines()[-1] == f"next:  {way_out}"

    def test_detached_it_has_to_be_found(self, shop: Project) -> None:
        """A process of its own finds the app by the settings; without them nothing is started."""
        assert shop("greet", "--detach", "--run-id", "one", program=self.ALONE).code == 0
        assert shop("wait", "one").code == 0
        (shop.root / "pyproject.toml").write_text("[tool.oneoff]\n")
        refused = shop("greet", "--detach", program=self.ALONE)
        assert refused.code == 2
        assert "[tool.oneoff]" in refused.err
        assert len(shop.runs()) == 1

    @pytest.mark.parametrize(
        ("other", "words"),
        [
            (APP, "the app that it finds is little"),
            (APP.replace("little", "shop"), "the greet that it finds is other code"),
            (APP.replace("little", "shop").replace("greet", "salute"), "there is no task 'greet'"),
            ("1 / 0", "other cannot be imported"),
        ],
    )
    def test_detached_it_has_to_be_the_same(self, shop: Project, other: str, words: str) -> None:
        """What the settings name does not run in this one's place."""
        (shop.root / "pyproject.toml").write_text('[tool.oneoff]\napp = "other:admin"\n')
        (shop.root / "other.py").write_text(other)
        refused = shop("greet", "--detach", "--run-id", "one", program=self.ALONE)
        assert (refused.code, words in refused.err) == (3, True), refused.err
        (run,) = shop.runs()
        assert (run["app"], run["status"], run["started_at"]) == ("shop", "refused", None)

    def test_detached_from_a_script(self, bare: Project) -> None:
        """The app of a script is the module ``__main__`` there, and is found by its name."""
        bare.write(manage_py=APP + '\nif __name__ == "__main__":\n    admin.cli()()\n')
        bare.write(oneoff_toml='[tool.oneoff]\napp = "manage:admin"\n')
        script = (sys.executable, "manage.py")
        launched = bare("greet", "--detach", "--run-id", "one", program=script)
        assert launched.code == 0, launched.err
        assert (bare("wait", "one").code, "hello from here\n" in bare("logs", "one").out) == (0, True)

    def test_detached_and_changed_before_the_start(self, shop: Project) -> None:
        """What was asked for is not what would start: nothing does."""
        admin = shop.root / "shop" / "admin.py"
        grow = "from pathlib import Path\nPath(__file__).with_name('grown.py').open('a').write('#')\n"
        admin.write_text(grow + admin.read_text())
        shop("run", "greet", "--detach", "--run-id", "one")
        assert shop("wait", "one").code == 3
        assert "has changed since run one was asked for" in shop("audit", "log", "--run", "one").out
        assert "hello" not in shop("logs", "one").out

    def test_a_rerun_in_another_app(self, shop: Project) -> None:
        """It is refused, and says how to name the app that ran."""
        shop("greet", "--run-id", "first", program=self.ALONE)
        (shop.root / "other.py").write_text(APP)
        refused = shop("--app", "other:admin", "rerun", "first")
        assert (refused.code, refused.out) == (3, "")
        assert "run first is of the app shop, and this one is little: nothing ran" in refused.err
        assert "oneoff --app MODULE:NAME rerun first" in refused.err
        assert shop.latest()["status"] == "refused"
        assert shop("rerun", "first").out == "hello you\n"
