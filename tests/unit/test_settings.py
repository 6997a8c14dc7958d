from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from oneoff.errors import InvalidSettings, UsageError
from oneoff.settings import (
    AnchorSettings,
    AuditSettings,
    CommandSettings,
    EnvironmentSettings,
    KubernetesSettings,
    SecretKey,
    load,
)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    """A folder without settings works; the store is below it."""
    settings = load(tmp_path, {})
    assert (settings.root, settings.file, settings.app) == (tmp_path, None, None)
    assert settings.store == tmp_path / ".oneoff" / "store.db"
    assert settings.environment_named(None) == EnvironmentSettings()


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    """Every key has its place."""
    (tmp_path / "pyproject.toml").write_text(
        """
        [project]
        name = "shop"
        version = "1.2.3"
        [tool.oneoff]
        app = "shop.admin:admin"
        store = "var/store.db"
        environment = "staging"
        private = ["customers.email"]
        scan_limit = "500MB"
        [tool.oneoff.environments.staging]
        [tool.oneoff.environments.production]
        protected = true
        reason = 'OPS-\\d+'
        [tool.oneoff.tasks.db-migrate]
        command = ["npm", "run", "db:migrate"]
        help = "Migrate."
        confirm = "Sure?"
        lock = "schema"
        timeout = 90
        schedule = "@daily"
        time_zone = "Europe/Berlin"
        runner = false
        environ = { A = "1" }
        """
    )
    settings = load(tmp_path, {})
    assert (settings.app, settings.version) == ("shop.admin:admin", "1.2.3")
    assert settings.store == tmp_path / "var" / "store.db"
    assert (settings.private, settings.scan_limit) == (("customers.email",), 500 * 1024**2)
    assert settings.environment_named(None).name == "staging"
    assert settings.environment_named("production") == EnvironmentSettings(
        name="production", protected=True, reason=r"OPS-\d+"
    )
    assert settings.tasks["db-migrate"] == CommandSettings(
        command=("npm", "run", "db:migrate"),
        help="Migrate.",
        confirm="Sure?",
        lock="schema",
        timeout=timedelta(seconds=90),
        schedule="@daily",
        time_zone="Europe/Berlin",
        runner=False,
        environ={"A": "1"},
    )


def test_a_file_above_is_found_and_its_folder_is_the_root(tmp_path: Path) -> None:
    """A command works in every folder of the project, on one store."""
    (tmp_path / "pyproject.toml").write_text("[tool.oneoff]\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text("[project]\nname = 'no table of ours'\n")
    assert load(below, {}).root == tmp_path


def test_oneoff_toml_comes_before_pyproject(tmp_path: Path) -> None:
    """Images often carry no pyproject.toml; where both are, the one for oneoff alone is meant."""
    (tmp_path / "pyproject.toml").write_text("[tool.oneoff]\napp = 'a:a'\n")
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff]\napp = 'b:b'\n")
    assert load(tmp_path, {}).app == "b:b"


def test_the_environment_names_app_and_store_and_makes_claims(tmp_path: Path) -> None:
    """Two variables say where things are, a known few describe who is at work, no other is read."""
    environ = {
        "ONEOFF_APP": "x:y",
        "ONEOFF_STORE": str(tmp_path / "s.db"),
        "GITHUB_ACTOR": "octo",
        "SECRET_KEY": "no",
    }
    settings = load(tmp_path, environ)
    assert (settings.app, settings.store) == ("x:y", tmp_path / "s.db")
    assert settings.claims == {"GITHUB_ACTOR": "octo"}


def test_what_belongs_to_a_store_lies_beside_it(tmp_path: Path) -> None:
    """Two stores in one folder do not share their logs."""
    settings = load(tmp_path, {"ONEOFF_STORE": str(tmp_path / "s.db")})
    assert settings.state_dir == tmp_path / "s.d"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.oneoff", "not valid TOML"),
        ("tool.oneoff = 3", "not a table"),
        ("tool = 3", r"\[tool\] is not a table"),
        ("[tool.oneoff]\nap = 'x'", "did you mean 'app'"),
        ("[tool.oneoff]\napp = 3", "a text is wanted"),
        ("[tool.oneoff]\nprivate = 'customers.email'", "list of columns"),
        ("[tool.oneoff]\nprivate = ['email']", "list of columns"),
        ("[tool.oneoff]\nscan_limit = '1 GB'", "a size is wanted"),
        ("[tool.oneoff]\nscan_limit = 5", "a size is wanted"),
        ("[tool.oneoff.environments.p]\nprotectd = true", "did you mean 'protected'"),
        ("[tool.oneoff.environments.p]\nprotected = 'yes'", "true or false"),
        ("[tool.oneoff.environments.p]\nreason = '('", "not a regular expression"),
        ("[tool.oneoff.environments]\np = 3", "one table for each name"),
        ("[tool.oneoff.environments.p]\nrequire_level = 'high'", "static, preview, sealed, copy, audit-hook"),
        ("[tool.oneoff.environments.p]\nrequire_level = 3", "a text is wanted"),
        ("[tool.oneoff.environments.p]\ndry_run_hosts = 'redis:1'", "a list of hosts with their ports"),
        ("[tool.oneoff.environments.p]\ndry_run_hosts = ['redis']", "a list of hosts with their ports"),
        ("[tool.oneoff.environments.p]\ndry_run_hosts = ['redis:99999']", "a list of hosts with their ports"),
        ("[tool.oneoff.environments.p]\npreview_environ = ['A']", "a table of texts"),
        ("[tool.oneoff.tasks.t]\ncommand = ['a']\ndry_run_command = 'b'", "a list of texts"),
        ("[tool.oneoff.tasks.t]\nhelp = 'x'", "needs a command"),
        ("[tool.oneoff.tasks.t]\ncommand = 'ls -l'", "no shell"),
        ("[tool.oneoff.tasks.t]\ncommand = ['ls']\ntimeout = 0", "above 0"),
        ("[tool.oneoff.tasks.t]\ncommand = ['ls']\ntimeout = inf", "at most"),
        ("[tool.oneoff.tasks.t]\ncommand = ['ls']\ntimeout = nan", "above 0"),
        ("[tool.oneoff.tasks.t]\ncommand = ['ls']\nenviron = { A = 1 }", "table of texts"),
        ("[tool.oneoff]\nstore = 'mysql://x/y'", "neither a file"),
        ("[tool.oneoff]\nstore = '~nobody-of-that-name/store.db'", "home"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, words: str) -> None:
    """A key that is misspelt or a value of the wrong type is never passed over."""
    (tmp_path / "oneoff.toml").write_text(text)
    with pytest.raises(InvalidSettings, match=words) as caught:
        load(tmp_path, {})
    if "[tool.oneoff" in caught.value.message:
        assert caught.value.message.startswith(f"{tmp_path / 'oneoff.toml'}: ")


def test_a_mistake_in_the_environment_is_not_the_files(tmp_path: Path) -> None:
    """The variable is named, and not a file that has nothing to do with it."""
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff]\nstore = 's.db'")
    with pytest.raises(InvalidSettings, match=r"^ONEOFF_STORE: the store mysql"):
        load(tmp_path, {"ONEOFF_STORE": "mysql://x/y"})


def test_an_environment_that_is_none(tmp_path: Path) -> None:
    """A typing error is answered with the names there are, and the file where one more would stand."""
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff.environments.production]\nprotected = true")
    with pytest.raises(UsageError, match="did you mean 'production'") as caught:
        load(tmp_path, {}).environment_named("prodution")
    assert caught.value.next_step.startswith("there are: local, production; or declare ")
    assert str(tmp_path / "oneoff.toml") in caught.value.next_step


def test_a_variable_of_a_command_is_never_shown(tmp_path: Path) -> None:
    """A mistake beside it does not print what may be a password."""
    (tmp_path / "oneoff.toml").write_text(
        "[tool.oneoff.tasks.t]\ncommand = ['ls']\nenviron = { TOKEN = 'hunter2', A = 1 }"
    )
    with pytest.raises(InvalidSettings, match=r"environ.*\bA\b") as raised:
        load(tmp_path, {})
    assert "hunter2" not in raised.value.message


def test_what_a_dry_run_is_held_by(tmp_path: Path) -> None:
    """One level or several, the hosts that are let through, and what a command gets to read."""
    (tmp_path / "oneoff.toml").write_text(
        "[tool.oneoff.environments.p]\n"
        'require_level = ["sealed", "landlock"]\n'
        'dry_run_hosts = ["redis:6379", "[::1]:80"]\n'
        'preview_environ = { DATABASE_URL = "READ_URL" }\n'
        "[tool.oneoff.environments.q]\n"
        'require_level = "copy"\n'
        "[tool.oneoff.tasks.t]\n"
        'command = ["migrate"]\n'
        'dry_run_command = ["migrate", "--plan"]\n'
    )
    settings = load(tmp_path, {})
    assert settings.environments["p"] == EnvironmentSettings(
        name="p",
        require_level=("sealed", "landlock"),
        dry_run_hosts=("redis:6379", "[::1]:80"),
        preview_environ={"DATABASE_URL": "READ_URL"},
    )
    assert settings.environments["q"].require_level == ("copy",)
    assert settings.tasks["t"].dry_run_command == ("migrate", "--plan")


def test_a_folder_that_cannot_be_looked_into_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may hold ``protected = true`` is not passed over in silence, and no traceback is shown."""

    def denied(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(InvalidSettings, match=r"oneoff\.toml cannot be read: Permission denied"):
        load(tmp_path, {})


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are a mistake of the file, told with its path."""
    (tmp_path / "oneoff.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSettings, match=r"oneoff\.toml"):
        load(tmp_path, {})


def test_an_unknown_environment_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """A misspelt --env must not fall back to anything."""
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff.environments.production]\n")
    with pytest.raises(UsageError, match="did you mean 'production'"):
        load(tmp_path, {}).environment_named("prodution")


def test_the_version_is_the_projects_wherever_our_table_is(tmp_path: Path) -> None:
    """With oneoff.toml beside it, pyproject.toml still says which version the project has."""
    (tmp_path / "pyproject.toml").write_text("[project]\nversion = '1.2'\n")
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff]\n")
    assert load(tmp_path, {}).version == "1.2"
    (tmp_path / "pyproject.toml").write_text("project = 3\n")
    with pytest.raises(InvalidSettings, match=r"\[project\] is not a table"):
        load(tmp_path, {})


def test_how_the_log_vouches_for_itself(tmp_path: Path) -> None:
    """Key, public keys and anchors; paths start at the root, and the variable wins over the file's key."""
    (tmp_path / "oneoff.toml").write_text(
        """
        [tool.oneoff.audit]
        key = "keys/audit.key"
        verify_key = "a+b+c"
        anchors = ["stdout", { file = "anchors.jsonl" }, { command = ["aws", "s3"] }]
        """
    )
    audit = load(tmp_path, {}).audit
    assert audit == AuditSettings(
        key=tmp_path / "keys" / "audit.key",
        verify_keys=("a+b+c",),
        anchors=(
            AnchorSettings(stdout=True),
            AnchorSettings(file=tmp_path / "anchors.jsonl"),
            AnchorSettings(command=("aws", "s3")),
        ),
    )
    assert load(tmp_path, {"ONEOFF_AUDIT_KEY": "/run/key"}).audit.key == Path("/run/key")
    (tmp_path / "oneoff.toml").write_text("[tool.oneoff.audit]\nverify_key = ['a', 'b']\n")
    assert load(tmp_path, {}).audit == AuditSettings(verify_keys=("a", "b"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("audit = 1", "audit\\] is not a table"),
        ("audit.anchor = []", "did you mean 'anchors'"),
        ("audit.anchors = 'stdout'", "a list of anchors"),
        ("audit.anchors = ['stderr']", "an anchor is"),
        ("audit.anchors = [{ file = 'a', command = ['b'] }]", "an anchor is"),
        ("audit.anchors = [{ file = '' }]", "a text is wanted"),
        ("audit.anchors = [{ command = 'aws s3' }]", "no shell runs it"),
        ("audit.verify_key = []\naudit.key = 1", "a text is wanted"),
    ],
)
def test_anchors_that_cannot_be_meant(tmp_path: Path, text: str, words: str) -> None:
    """A misspelt anchor must not be a silent none."""
    (tmp_path / "oneoff.toml").write_text(f"[tool.oneoff]\n{text}\n")
    with pytest.raises(InvalidSettings, match=words):
        load(tmp_path, {})


def test_what_is_no_record_may_be_elsewhere(tmp_path: Path) -> None:
    """Beside the store, unless the environment says otherwise."""
    assert load(tmp_path, {}).state_dir == tmp_path / ".oneoff" / "store.d"
    assert load(tmp_path, {"ONEOFF_STATE": "/run/oneoff"}).state_dir == Path("/run/oneoff")
    assert load(tmp_path, {"ONEOFF_STATE": "state"}).state_dir == tmp_path / "state"


def test_where_an_environment_is_in_kubernetes(tmp_path: Path) -> None:
    """Every key has its place; without a table it is not in Kubernetes."""
    (tmp_path / "oneoff.toml").write_text(
        """
        [tool.oneoff.environments.staging]
        [tool.oneoff.environments.production.kubernetes]
        context = "prod"
        namespace = "shop"
        workload = "deployment/web"
        container = "web"
        network_labels = ["tier"]
        sidecars = ["proxy"]
        without = ["migrate"]
        store = { secret = "db-credentials", key = "url" }
        keep_entrypoint = true
        wrapper = ["sh", "-c", "x"]
        volumes = "empty"
        program = ["python", "-m", "oneoff"]
        """
    )
    settings = load(tmp_path, {})
    assert settings.environment_named("staging").kubernetes is None
    assert settings.environment_named("production").kubernetes == KubernetesSettings(
        context="prod",
        namespace="shop",
        workload="deployment/web",
        container="web",
        network_labels=("tier",),
        sidecars=("proxy",),
        without=("migrate",),
        store=SecretKey("db-credentials", "url"),
        keep_entrypoint=True,
        wrapper=("sh", "-c", "x"),
        volumes="empty",
        program=("python", "-m", "oneoff"),
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("true", "a table is wanted"),
        ('{ namespase = "x" }', "there is no namespase, but container"),
        ('{ namespace = "Shop" }', "a name of Kubernetes is wanted"),
        ('{ workload = "web" }', "KIND/NAME is wanted"),
        ('{ sidecars = "proxy" }', "a list of names is wanted"),
        ('{ store = { secret = "x" } }', "a Secret and its key are wanted"),
        ('{ volumes = "drop" }', "one of same-node, empty, keep"),
        ('{ keep_entrypoint = "yes" }', "true or false is wanted"),
    ],
)
def test_a_kubernetes_table_that_cannot_be_meant(given: str, words: str, tmp_path: Path) -> None:
    """The words name the key, and what it takes."""
    (tmp_path / "oneoff.toml").write_text(f"[tool.oneoff.environments.production]\nkubernetes = {given}\n")
    with pytest.raises(InvalidSettings, match=r"environments\.production") as caught:
        load(tmp_path, {})
    assert words in caught.value.message
