"""oneoff in the folder of a Django project that knows nothing of it."""

from __future__ import annotations

import json
import sys

from tests.acceptance.frameworks.conftest import SETTINGS, ages, commands
from tests.cli import Project, eventually


def names(project: Project, **arguments: str) -> list[str]:
    """The tasks."""
    listed = project("tasks", "-o", "json", environ=arguments)
    assert listed.code == 0, listed.err
    return [task["name"] for task in listed.json]


class TestTasks:
    """Which commands are tasks."""

    def test_its_own_commands(self, django: Project) -> None:
        """Those of its apps, with help and parameters, and none of Django's."""
        assert names(django) == ["ask", "purge-carts"]
        listed = django("tasks").out
        assert "Delete the carts that nobody has touched for long." in listed
        shown = django("show", "purge_carts", "-o", "json").json
        assert list(shown["parameters"]["properties"]) == ["shops", "days"]
        assert shown["parameters"]["properties"]["days"]["default"] == 90
        assert shown["origin"] == "carts (Django)"
        help_text = django("run", "purge_carts", "--help").out
        assert "--days INTEGER" in help_text and "[SHOPS]..." in help_text
        assert "Its own --noinput, --dry-run cannot be given" in " ".join(help_text.split())

    def test_two_apps_with_a_command_of_one_name(self, django: Project) -> None:
        """Django's winner is the task; the other one is named in the list, in JSON and on its page."""
        assert "purge-carts hides that of legacy (Django)" in django("tasks").out
        assert django("show", "purge-carts", "-o", "json").json["hides"] == ["legacy (Django)"]
        assert "legacy (Django)" in django("show", "purge-carts").out

    def test_commands_of_others_on_request(self, django: Project) -> None:
        """``include`` makes tasks of commands of Django or a library, by name or pattern."""
        django.write(oneoff_toml='[tool.oneoff]\ninclude = ["check", "clear*"]\n')
        assert names(django) == ["ask", "check", "purge-carts"]
        ended = django("run", "check", "--tag", "models")
        assert (ended.code, "no issues" in ended.out) == (0, True)

    def test_by_the_settings_variable(self, django: Project) -> None:
        """Without manage.py, DJANGO_SETTINGS_MODULE is enough."""
        (django.root / "manage.py").unlink()
        assert django("tasks").code == 2
        variables = {"DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": "apps"}
        assert names(django, **variables) == ["ask", "purge-carts"]

    def test_left_alone(self, django: Project) -> None:
        """``discover = false``: Django is not even imported."""
        (django.root / "shop" / "settings.py").write_text("raise SystemExit('imported')")
        django.write(
            oneoff_toml='[tool.oneoff]\ndiscover = false\n[tool.oneoff.tasks.x]\ncommand = ["true"]\n'
        )
        assert names(django) == ["x"]

    def test_beside_an_app(self, django: Project) -> None:
        """Both sets are tasks; the app's own wins where they clash, and says so."""
        django.write(
            admin_py="import oneoff\nadmin = oneoff.App('our-shop')\n\n@admin.task\n"
            "def purge_carts() -> None:\n    print('the app')\n",
            oneoff_toml='[tool.oneoff]\napp = "admin:admin"\n',
        )
        assert names(django) == ["ask", "purge-carts"]
        assert django("run", "purge-carts").out == "the app\n"
        assert django("show", "purge-carts", "-o", "json").json["hides"] == ["carts (Django)"]
        assert django.latest()["app"] == "our-shop"

    def test_a_command_that_cannot_be_loaded(self, django: Project) -> None:
        """It takes no other with it; who runs it sees why."""
        write_into(django, commands("legacy", old="import nothing_of_that_name\n"))
        listed = django("tasks")
        assert "purge-carts" in listed.out
        assert "no task: old: the command cannot be loaded" in listed.err
        ended = django("run", "old")
        assert ended.code == 3
        assert "nothing_of_that_name" in ended.err and "src/oneoff" not in ended.err
        assert django.latest()["status"] == "refused"

    def test_a_library_that_wins(self, django: Project) -> None:
        """Where Django prefers a command of its own or a library's, ours is no task, and that is said."""
        write_into(django, commands("legacy", shell=ASK_NOTHING))
        settings = django.root / "shop" / "settings.py"
        settings.write_text(settings.read_text() + 'INSTALLED_APPS.insert(0, "lib")\n')
        site = django.root / "venv" / "site-packages"
        write_into(
            django,
            {f"venv/site-packages/{k}": v for k, v in commands("lib", ask=ASK_NOTHING).items()},
        )
        listed = django("tasks", environ={"PYTHONPATH": str(site)})
        assert "no task: ask: Django prefers the command of that name in lib" in listed.err
        assert "shell hides that of django.core (Django)" in listed.out


ASK_NOTHING = """
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def handle(self, *args, **options):
        pass
"""


def write_into(project: Project, files: dict[str, str]) -> None:
    """Add files."""
    for name, text in files.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class TestRuns:
    """What a run of such a task is."""

    def test_a_run(self, django: Project) -> None:
        """Its output is the run's, its values are the command's, and the record has them."""
        ended = django("run", "purge_carts", "7", "8", "--days", "150", "--yes")
        assert (ended.code, ended.out) == (0, "deleted 1 of [7, 8]\n")
        assert ages(django) == [1, 100]
        run = django.latest()
        assert (run["task"], run["parameters"]) == ("purge-carts", {"shops": [7, 8], "days": 150})
        assert (run["app"], run["confirmation"]) == ("a shop", "--yes")
        assert "deleted 1" in django("logs", "@latest").out

    def test_it_wants_a_confirmation(self, django: Project) -> None:
        """A command that asks is a task that asks, before it starts; without anybody to ask it is refused."""
        for task in ("purge-carts", "ask"):
            ended = django("run", task)
            assert (ended.code, ended.out) == (3, "")
            assert f"{task} asks before it goes on. Continue?" in ended.err
            assert f"oneoff run {task} --yes" in ended.err
        ended = django("run", "ask", "--yes")
        assert (ended.code, ended.out) == (0, "went on\n")
        assert "Rebuild it all? Type 'yes' to go on:" in ended.err

    def test_its_own_words(self, django: Project) -> None:
        """A CommandError fails the run, in its words and with its code, and without a traceback."""
        ended = django("run", "purge-carts", "--days", "-1", "--yes")
        assert ended.code == 1
        assert "days are never negative" in ended.err and "Traceback" not in ended.err
        run = django.latest()
        assert (run["status"], run["exit_code"], run["error"]) == ("failed", 4, "days are never negative")

    def test_an_exception(self, django: Project) -> None:
        """It fails the run, with the traceback."""
        write_into(
            django, commands("legacy", boom=ASK_NOTHING.replace("pass", "raise LookupError('no luck')"))
        )
        ended = django("run", "boom")
        assert (ended.code, "LookupError: no luck" in ended.err) == (1, True)

    def test_checks_run_first(self, django: Project) -> None:
        """As from manage.py: a project whose checks fail starts no command."""
        models = django.root / "apps" / "carts" / "models.py"
        models.write_text(models.read_text() + "    shop = models.ForeignKey('Nothing', models.CASCADE)\n")
        ended = django("run", "purge-carts", "--yes")
        assert ended.code == 1
        assert "fields.E300" in ended.err
        assert ages(django) == [1, 100, 200]

    def test_a_process_of_its_own_and_again(self, django: Project) -> None:
        """``--detach``, ``--run-id`` and ``rerun`` work as with any task."""
        started = django("run", "purge-carts", "--days", "150", "--yes", "--detach", "--run-id", "first")
        assert started.code == 0, started.err
        eventually(lambda: django("show", "first", "-o", "json").json["status"] == "succeeded")
        assert ages(django) == [1, 100]
        again = django("run", "purge-carts", "--days", "150", "--yes", "--run-id", "first")
        assert "has ended before" in again.err
        assert django("rerun", "first", "--yes").out == "deleted 0 of []\n"
        assert len(django.latest()["release"]["code"]) == 64

    def test_the_code_is_the_apps(self, django: Project) -> None:
        """A change in the command's package is seen by a rerun; one elsewhere is not."""
        django("run", "purge-carts", "--yes", "--run-id", "first")
        (django.root / "legacy" / "new.py").write_text("")
        assert "the task's package" not in django("rerun", "first", "--yes").err
        (django.root / "apps" / "carts" / "new.py").write_text("")
        assert "the task's package" in django("rerun", "first", "--yes").err


class TestBroken:
    """A project that does not start."""

    def test_settings_that_cannot_be_imported(self, django: Project) -> None:
        """Their own traceback, what is wrong and what to do; the attempt is recorded."""
        (django.root / "shop" / "settings.py").write_text("import nothing_of_that_name\n")
        ended = django("run", "purge-carts")
        assert ended.code == 3
        assert "nothing_of_that_name" in ended.err and "src/oneoff" not in ended.err
        assert "error: the Django project cannot be started" in ended.err
        assert "discover = false" in ended.err
        run = django.latest()
        assert (run["app"], run["status"]) == ("a shop", "refused")

    def test_a_manage_that_raises(self, django: Project) -> None:
        """It is named."""
        (django.root / "manage.py").write_text("# DJANGO_SETTINGS_MODULE\nraise LookupError('no luck')\n")
        ended = django("tasks")
        assert ended.code == 3
        assert "LookupError: no luck" in ended.err and "error: manage.py raised" in ended.err

    def test_a_manage_of_something_else(self, django: Project) -> None:
        """A file of that name is no Django project."""
        (django.root / "manage.py").write_text("raise SystemExit('executed')\n")
        ended = django("tasks")
        assert ended.code == 2
        assert "neither a Django project nor a Flask app" in ended.err

    def test_without_django(self, django: Project) -> None:
        """The environment is the wrong one, and that is said."""
        hidden = "import sys; sys.modules['django'] = None; sys.argv[0] = 'oneoff'\n"
        hidden += "from oneoff.cli.main import main; main()"
        ended = django("tasks", program=(sys.executable, "-c", hidden))
        assert ended.code == 3
        assert "Django is not installed where oneoff is" in ended.err


class TestManage:
    """``manage.py oneoff`` with oneoff among the installed apps."""

    def manage(self, project: Project, *arguments: str) -> tuple[int, str, str]:
        """Run ``python manage.py ARGUMENTS``."""
        settings = project.root / "shop" / "settings.py"
        settings.write_text(SETTINGS + 'INSTALLED_APPS.append("oneoff.contrib.django")\n')
        ended = project(*arguments, program=(sys.executable, "manage.py"))
        return ended.code, ended.out, ended.err

    def test_the_whole_command_line(self, django: Project) -> None:
        """Every word goes to oneoff, and its exit code is the command's."""
        code, out, _ = self.manage(django, "oneoff", "tasks", "-o", "json")
        assert (code, [task["name"] for task in json.loads(out)]) == (0, ["ask", "purge-carts"])
        code, out, _ = self.manage(django, "oneoff", "run", "purge-carts", "--days", "150", "--yes")
        assert (code, out) == (0, "deleted 1 of []\n")
        assert self.manage(django, "oneoff", "audit", "verify")[0] == 0

    def test_the_command_that_would_work(self, django: Project) -> None:
        """It is one that can be typed."""
        code, _, err = self.manage(django, "oneoff", "run", "purge-carts")
        assert code == 3
        assert "next:  manage.py oneoff run purge-carts --yes" in err
        assert (
            "Usage: manage.py oneoff run purge-carts"
            in self.manage(django, "oneoff", "run", "purge-carts", "--help")[1]
        )

    def test_from_code(self, django: Project) -> None:
        """``call_command`` works too."""
        code, out, _ = self.manage(django, "oneoff", "tasks")
        assert code == 0 and "purge-carts" in out
        script = (
            "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'shop.settings'; django.setup()\n"
            "from django.core.management import call_command\n"
            "call_command('oneoff', 'run', 'ask', '--yes')"
        )
        ended = django(program=(sys.executable, "-c", script), environ={"PYTHONPATH": "apps:."})
        assert (ended.code, ended.out) == (0, "went on\n")


def test_an_empty_project(django: Project) -> None:
    """Without apps of its own there are no tasks, and that is no error."""
    settings = django.root / "shop" / "settings.py"
    settings.write_text(settings.read_text() + "INSTALLED_APPS = []\nDATABASES = {}\n")
    ended = django("tasks")
    assert (ended.code, ended.out) == (0, "a shop has no tasks yet\n")
