"""Settings: one frozen object, read once from the settings file and the environment, passed down from there.

This is the only reader of environment variables. ``ONEOFF_APP``, ``ONEOFF_STORE`` and ``ONEOFF_AUDIT_KEY``
say where things are, and so do ``XDG_STATE_HOME`` and ``HOME`` for what this user keeps, and
``DJANGO_SETTINGS_MODULE`` and ``FLASK_APP`` for a project whose framework reads them; all others are claims
about who is at work, recorded and never believed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from oneoff.errors import InvalidSettings, UsageError, did_you_mean

T = TypeVar("T")

_KEYS = frozenset(
    {
        *("app", "audit", "database", "discover", "environment", "environments", "include", "private"),
        *("scan_limit", "store", "tasks"),
    }
)

FILES = ("oneoff.toml", "pyproject.toml")
"""Looked for in this order, in the working folder and then in each one above it."""

DEFAULT_STORE = ".oneoff/store.db"

PERSON_CLAIMS = (
    "SUDO_USER",
    "GITHUB_ACTOR",
    "GITLAB_USER_LOGIN",
    "BUILDKITE_BUILD_CREATOR",
    "ONEOFF_ACTOR",
)
"""Variables that name a person; the audit log holds an opaque subject in the name's place."""
OTHER_CLAIMS = (
    "CI",
    "GITHUB_RUN_ID",
    "GITHUB_REPOSITORY",
    "CI_JOB_ID",
    "CI_PROJECT_PATH",
    "BUILDKITE_BUILD_ID",
)
"""Further variables that say where a run comes from. A claim stands beside the operating system's user."""

_PLACE_OPTIONS = frozenset({"host", "hostaddr", "port", "dbname", "service"})
"""What a PostgreSQL URL's query may say of where the database is (libpq, 34.1.2)."""


LEVELS = ("static", "preview", "sealed", "copy")
"""How a dry run may be held, from the weakest to the strongest."""
GUARDS = ("audit-hook", "landlock")
"""What may hold a task outside of its databases, from the weaker to the stronger."""
_ENVIRONMENT = {"protected", "reason", "break_glass", "require_level", "dry_run_hosts", "preview_environ"}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")

RETENTION = timedelta(days=400)
"""More than a year: PCI DSS 10.5.1 wants twelve months."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings:
    """A named target and its policy."""

    name: str = "local"
    protected: bool = False
    """A real run is confirmed by typing this environment's name."""
    reason: str | None = None
    """A regular expression that the whole of ``--reason`` has to match; None where no reason is wanted."""
    break_glass: bool = False
    """``--break-glass`` may run a task here while the store cannot be reached."""
    require_level: tuple[str, ...] = ()
    """What a dry run has to be held by at least, of :data:`LEVELS` and :data:`GUARDS`."""
    preview_environ: Mapping[str, str] = field(default_factory=dict)
    """For the dry run of a command: variables, and those of this process that hold their values, each the URL
    of a database as a role that can only read."""
    dry_run_hosts: tuple[str, ...] = ()
    """``NAME:PORT`` of what the task of a dry run may reach; its report names them as not covered."""


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """A task in any language."""

    command: tuple[str, ...]
    """An argument list, run without a shell in the folder of the settings file."""
    dry_run_command: tuple[str, ...] | None = None
    """What a dry run runs in its place, held as the command would be."""
    help: str = ""
    confirm: str | None = None
    lock: str | None = None
    timeout: timedelta | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables added to the app's own."""


@dataclass(frozen=True, kw_only=True)
class AnchorSettings:
    """A place outside the store that is given each checkpoint: one of the three."""

    stdout: bool = False
    """A JSON line on standard output, for whoever collects the process's output."""
    file: Path | None = None
    """A JSON line at the end of this file."""
    command: tuple[str, ...] = ()
    """An argument list, run without a shell; it has the note on its standard input."""


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """How the audit log vouches for itself outside the store."""

    key: Path | None = None
    """The file of the private key that signs checkpoints."""
    verify_keys: tuple[str, ...] = ()
    """The public keys (``vkey``) whose signatures count."""
    anchors: tuple[AnchorSettings, ...] = ()
    retention: timedelta = RETENTION
    """How long every event of the audit log stays at least."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is set from outside."""

    root: Path
    """The folder of the settings file, else the working folder."""
    file: Path | None = None
    app: str | None = None
    """``MODULE:NAME`` of the app."""
    database: str | None = None
    """A URL, or the ``MODULE:NAME`` of a handle: the database of an app that is no ``oneoff.App``."""
    discover: bool = True
    """Whether the commands of a Django project or a Flask app are tasks."""
    include: tuple[str, ...] = ()
    """Patterns of commands that are tasks though they come with a framework or a library."""
    project: str = ""
    """What the project is called: ``project.name`` of pyproject.toml, else its folder."""
    django_settings: str | None = None
    """``DJANGO_SETTINGS_MODULE``."""
    flask_app: str | None = None
    """``FLASK_APP``."""
    store: Path
    """The store's file; with :attr:`store_url`, the place that it would have: :attr:`state_dir` is there."""
    store_url: str | None = None
    """A PostgreSQL database that is the store, with its password; never to be shown."""
    environment: str = "local"
    """The environment of a run that names none."""
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    tasks: Mapping[str, CommandSettings] = field(default_factory=dict)
    audit: AuditSettings = AuditSettings()
    private: tuple[str, ...] = ()
    """``TABLE.COLUMN``: columns whose values no report of effects tells."""
    scan_limit: int = 1 << 30
    """Bytes: a PostgreSQL table that is larger is not read through for its exact changes."""
    user_dir: Path | None = None
    """What oneoff keeps for this user: ``oneoff`` in ``$XDG_STATE_HOME``; None where no home is known.

    The checkpoints that were seen, whatever the store, and what cannot be kept beside it.
    """
    version: str | None = None
    """``project.version`` of pyproject.toml: the release's version where the app gives none."""
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """The folder beside the store, for what is no record: logs, and room for outcomes."""
        return self.store.with_suffix(".d")

    @property
    def place(self) -> str:
        """Where the store is, in the same words each time; without user and password."""
        if self.store_url is None:
            return os.path.normpath(self.store.absolute())  # a link that leads elsewhere has to be noticed
        address, _, query = self.store_url.partition("://")[2].partition("?")
        options = sorted(part for part in query.split("&") if part.partition("=")[0] in _PLACE_OPTIONS)
        return "?".join(filter(None, [f"postgresql://{address.rpartition('@')[2]}", "&".join(options)]))

    def environment_named(self, name: str | None) -> EnvironmentSettings:
        """The environment to run in.

        Raises:
            UsageError: there is none of that name.
        """
        wanted = name or self.environment
        if wanted in self.environments:
            return self.environments[wanted]
        if wanted == "local":
            return EnvironmentSettings()
        raise UsageError(
            f"there is no environment {wanted!r}{did_you_mean(wanted, self.environments)}",
            next_step=(
                f"there are: {', '.join(sorted({'local', *self.environments}))}; or declare "
                f"[tool.oneoff.environments.{wanted}] in {self.file or FILES[0]}"
            ),
        )


def load(start: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings for a process that works in ``start``.

    Raises:
        InvalidSettings: the file is no TOML, has an unknown key or a value of the wrong type.
    """
    file, table = _find(start)
    try:
        return _settings(start, environ, file, table)
    except InvalidSettings as error:
        if file and "[tool.oneoff" in error.message:
            error.reword(lambda words: f"{file}: {words}")
        raise


def _settings(start: Path, environ: Mapping[str, str], file: Path | None, table: dict[str, Any]) -> Settings:
    root = file.parent if file else start
    project = _project(root)
    _only(table, _KEYS, "tool.oneoff")
    store, given_by = environ.get("ONEOFF_STORE"), "ONEOFF_STORE"
    if not store:
        store, given_by = _get(table, "store", _text, "tool.oneoff") or DEFAULT_STORE, "[tool.oneoff] store"
    scheme, is_url, _ = store.partition("://")
    if is_url and scheme not in ("postgresql", "postgres"):
        raise InvalidSettings(
            f"{given_by}: the store {scheme}://… is neither a file nor a PostgreSQL database",
            next_step="a path is wanted, or a URL that begins with postgresql://",
        )
    return Settings(
        root=root,
        file=file,
        app=environ.get("ONEOFF_APP") or _get(table, "app", _text, "tool.oneoff"),
        database=_get(table, "database", _text, "tool.oneoff"),
        discover=_get(table, "discover", _boolean, "tool.oneoff") is not False,
        include=_get(table, "include", _texts, "tool.oneoff") or (),
        project=project.get("name") or root.name,
        django_settings=environ.get("DJANGO_SETTINGS_MODULE") or None,
        flask_app=environ.get("FLASK_APP") or None,
        store=root / _path(DEFAULT_STORE if is_url else store),
        store_url=store if is_url else None,
        environment=_get(table, "environment", _text, "tool.oneoff") or "local",
        environments={
            name: _environment(name, entry) for name, entry in _tables(table, "environments").items()
        },
        tasks={name: _command(name, entry) for name, entry in _tables(table, "tasks").items()},
        private=_get(table, "private", _columns, "tool.oneoff") or (),
        scan_limit=_get(table, "scan_limit", _bytes, "tool.oneoff") or Settings.scan_limit,
        audit=_audit(table, root, environ.get("ONEOFF_AUDIT_KEY")),
        user_dir=_user_dir(environ),
        version=project.get("version"),
        claims={name: environ[name] for name in PERSON_CLAIMS + OTHER_CLAIMS if environ.get(name)},
    )


def _user_dir(environ: Mapping[str, str]) -> Path | None:
    """By the XDG base directory specification, which ignores a path that is not absolute."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "oneoff"
    home = Path(environ.get("HOME", ""))
    return home / ".local" / "state" / "oneoff" if home.is_absolute() else None


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InvalidSettings(f"the path {text} names the home of nobody known here") from error


def _find(start: Path) -> tuple[Path | None, dict[str, Any]]:
    for folder in (start, *start.parents):
        for name in FILES:
            path = folder / name
            document = _read(path)
            tool = _subtable(document, "tool", path)
            if "oneoff" in tool:
                return path, _subtable(tool, "oneoff", path, above="tool.")
    return None, {}


def _project(folder: Path) -> dict[str, str]:
    """The texts of ``[project]`` in pyproject.toml."""
    path = folder / "pyproject.toml"
    table = _subtable(_read(path), "project", path)
    return {key: value for key, value in table.items() if isinstance(value, str)}


def _subtable(table: dict[str, Any], key: str, path: Path, *, above: str = "") -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise InvalidSettings(f"{path}: [{above}{key}] is not a table")
    return found


def _read(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where there is none."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except OSError as error:
        raise InvalidSettings(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{path} cannot be read: {error}") from error
    if not text:
        return {}
    import tomllib  # 16 ms, and needed only where there is a file

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{path} is not valid TOML: {error}") from error


def _environment(name: str, table: dict[str, Any]) -> EnvironmentSettings:
    where = f"tool.oneoff.environments.{name}"
    _only(table, _ENVIRONMENT, where)
    return EnvironmentSettings(
        name=name,
        protected=_get(table, "protected", _boolean, where) or False,
        reason=_get(table, "reason", _pattern, where),
        break_glass=_get(table, "break_glass", _boolean, where) or False,
        require_level=_get(table, "require_level", _levels, where) or (),
        dry_run_hosts=_get(table, "dry_run_hosts", _hosts, where) or (),
        preview_environ=_get(table, "preview_environ", _variables, where) or {},
    )


def _command(name: str, table: dict[str, Any]) -> CommandSettings:
    where = f"tool.oneoff.tasks.{name}"
    _only(table, {"command", "dry_run_command", "help", "confirm", "lock", "timeout", "environ"}, where)
    command = _get(table, "command", _arguments, where)
    if not command:
        raise InvalidSettings(f'[{where}] needs a command, a list such as ["npm", "run", "db:migrate"]')
    return CommandSettings(
        command=command,
        dry_run_command=_get(table, "dry_run_command", _arguments, where),
        help=_get(table, "help", _text, where) or "",
        confirm=_get(table, "confirm", _text, where),
        lock=_get(table, "lock", _text, where),
        timeout=_get(table, "timeout", _seconds, where),
        environ=_get(table, "environ", _variables, where) or {},
    )


def _audit(table: dict[str, Any], root: Path, key: str | None) -> AuditSettings:
    where = "tool.oneoff.audit"
    audit = table.get("audit", {})
    if not isinstance(audit, dict):
        raise InvalidSettings(f"[{where}] is not a table")
    _only(audit, {"key", "verify_key", "anchors", "retention"}, where)
    key = key or _get(audit, "key", _text, where)
    return AuditSettings(
        key=root / _path(key) if key else None,
        verify_keys=_get(audit, "verify_key", _texts, where) or (),
        anchors=_get(audit, "anchors", lambda value: _anchors(value, root), where) or (),
        retention=_get(audit, "retention", _days, where) or RETENTION,
    )


def _anchors(value: Any, root: Path) -> tuple[AnchorSettings, ...]:
    if not isinstance(value, list):
        raise ValueError('a list of anchors is wanted, such as ["stdout", { file = "PATH" }]')
    return tuple(_anchor(entry, root) for entry in value)


def _anchor(entry: Any, root: Path) -> AnchorSettings:
    if entry == "stdout":
        return AnchorSettings(stdout=True)
    if isinstance(entry, dict) and set(entry) == {"file"}:
        return AnchorSettings(file=root / _path(_text(entry["file"])))
    if isinstance(entry, dict) and set(entry) == {"command"}:
        return AnchorSettings(command=_arguments(entry["command"]))
    raise ValueError('an anchor is "stdout", { file = "PATH" } or { command = ["PROGRAM", "ARGUMENT"] }')


def _tables(table: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    entries = table.get(key, {})
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InvalidSettings(f"[tool.oneoff.{key}] holds one table for each name")
    return entries


def _only(table: dict[str, Any], known: Set[str], where: str) -> None:
    """A misspelt ``protected`` must not be a silent no."""
    for key in table:
        if key not in known:
            raise InvalidSettings(f"[{where}] has no key {key!r}{did_you_mean(key, known)}")


def _get(table: dict[str, Any], key: str, read: Callable[[Any], T], where: str) -> T | None:
    if key not in table:
        return None
    try:
        return read(table[key])
    except ValueError as error:
        value = "" if isinstance(table[key], dict) else f" = {table[key]!r}"  # variables may be secrets
        raise InvalidSettings(f"[{where}] {key}{value}: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is wanted")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """A text, or a list of them."""
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),)


def _columns(value: Any) -> tuple[str, ...]:
    names = _texts(value)
    if not isinstance(value, list) or not all(all(name.rpartition(".")[::2]) for name in names):
        raise ValueError('a list of columns is wanted, such as ["customers.email"]')
    return names


def _bytes(value: Any) -> int:
    found = re.fullmatch("([1-9][0-9]{0,5})(MB|GB|TB)", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('a size is wanted, such as "500MB" or "4GB"')
    return int(found[1]) << {"MB": 20, "GB": 30, "TB": 40}[found[2]]


def _levels(value: Any) -> tuple[str, ...]:
    wanted = _texts(value)
    if not set(wanted) <= {*LEVELS, *GUARDS}:
        raise ValueError(f"one or more of {', '.join((*LEVELS, *GUARDS))} are wanted")
    return wanted


def _hosts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(_is_host, value)):
        raise ValueError('a list of hosts with their ports is wanted, such as ["redis:6379"]')
    return tuple(value)


def _is_host(value: Any) -> bool:
    return (
        isinstance(value, str)
        and bool(_HOST.fullmatch(value))
        and 0 < int(value.rpartition(":")[2]) <= 65_535
    )


def _days(value: Any) -> timedelta:
    if not isinstance(value, str) or not re.fullmatch("[1-9][0-9]{0,4}d", value):
        raise ValueError('a number of days is wanted, such as "400d"')
    return timedelta(days=int(value[:-1]))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def _pattern(value: Any) -> str:
    try:
        re.compile(_text(value))
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return str(value)


def _arguments(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError('a list of texts is wanted, such as ["npm", "run", "db:migrate"]; no shell runs it')
    return tuple(value)


def _variables(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("a table of texts is wanted")
    wrong = [name for name, item in value.items() if not isinstance(item, str)]
    if wrong:
        raise ValueError(f"a table of texts is wanted, and {', '.join(wrong)} is none")
    return value


def _seconds(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError("a number of seconds above 0 is wanted")
    try:
        return timedelta(seconds=value)
    except OverflowError:
        raise ValueError(f"it is at most {timedelta.max.total_seconds():.0f} seconds") from None
