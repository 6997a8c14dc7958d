"""Reads the settings file and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oneoff.errors import InvalidSettings
from oneoff.settings import values
from oneoff.settings.kubernetes import kubernetes
from oneoff.settings.model import (
    DEFAULT_STORE,
    FILES,
    OTHER_CLAIMS,
    PERSON_CLAIMS,
    RETENTION,
    AnchorSettings,
    AuditSettings,
    CommandSettings,
    EnvironmentSettings,
    Settings,
)

_KEYS = frozenset(
    {
        *("app", "audit", "database", "discover", "environment", "environments", "include", "private"),
        *("scan_limit", "store", "tasks"),
    }
)
_ENVIRONMENT = frozenset(
    {
        *("break_glass", "dry_run_hosts", "kubernetes", "preview_environ", "protected", "reason"),
        "require_level",
    }
)
_AUDIT = frozenset({"anchors", "key", "retention", "verify_key"})
_COMMAND = frozenset(
    {
        *("command", "confirm", "dry_run_command", "environ", "help", "lock", "nature", "runner"),
        *("schedule", "time_zone", "timeout"),
    }
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
    values.only(table, _KEYS, "tool.oneoff")
    store, given_by = environ.get("ONEOFF_STORE"), "ONEOFF_STORE"
    if not store:
        store, given_by = (
            values.get(table, "store", values.text, "tool.oneoff") or DEFAULT_STORE,
            "[tool.oneoff] store",
        )
    scheme, is_url, _ = store.partition("://")
    if is_url and scheme not in ("postgresql", "postgres"):
        raise InvalidSettings(
            f"{given_by}: the store {scheme}://… is neither a file nor a PostgreSQL database",
            next_step="a path is wanted, or a URL that begins with postgresql://",
        )
    return Settings(
        root=root,
        file=file,
        app=environ.get("ONEOFF_APP") or values.get(table, "app", values.text, "tool.oneoff"),
        database=values.get(table, "database", values.text, "tool.oneoff"),
        discover=values.get(table, "discover", values.boolean, "tool.oneoff") is not False,
        include=values.get(table, "include", values.texts, "tool.oneoff") or (),
        project=project.get("name") or root.name,
        django_settings=environ.get("DJANGO_SETTINGS_MODULE") or None,
        flask_app=environ.get("FLASK_APP") or None,
        store=root / _path(DEFAULT_STORE if is_url else store),
        store_url=store if is_url else None,
        state=root / _path(environ["ONEOFF_STATE"]) if environ.get("ONEOFF_STATE") else None,
        environment=values.get(table, "environment", values.text, "tool.oneoff") or "local",
        environments={
            name: _environment(name, entry) for name, entry in values.tables(table, "environments").items()
        },
        tasks={name: _command(name, entry) for name, entry in values.tables(table, "tasks").items()},
        private=values.get(table, "private", values.columns, "tool.oneoff") or (),
        scan_limit=values.get(table, "scan_limit", values.size, "tool.oneoff") or Settings.scan_limit,
        audit=_audit(table, root, environ.get("ONEOFF_AUDIT_KEY")),
        user_dir=_user_dir(environ),
        version=project.get("version"),
        claims={name: environ[name] for name in PERSON_CLAIMS + OTHER_CLAIMS if environ.get(name)},
        intent=environ.get("ONEOFF_INTENT") or None,
    )


def _user_dir(environ: Mapping[str, str]) -> Path | None:
    """By the XDG base directory specification, which ignores a path that is not absolute.

    The home in a pod that was launched is nobody's, goes with it, and can often not be written.
    """
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "oneoff"
    if environ.get("ONEOFF_INTENT"):
        return None
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
    values.only(table, _ENVIRONMENT, where)
    return EnvironmentSettings(
        name=name,
        protected=values.get(table, "protected", values.boolean, where) or False,
        reason=values.get(table, "reason", values.pattern, where),
        break_glass=values.get(table, "break_glass", values.boolean, where) or False,
        require_level=values.get(table, "require_level", values.levels, where) or (),
        dry_run_hosts=values.get(table, "dry_run_hosts", values.hosts, where) or (),
        preview_environ=values.get(table, "preview_environ", values.variables, where) or {},
        kubernetes=values.get(table, "kubernetes", kubernetes, where),
    )


def _command(name: str, table: dict[str, Any]) -> CommandSettings:
    where = f"tool.oneoff.tasks.{name}"
    values.only(table, _COMMAND, where)
    command = values.get(table, "command", values.arguments, where)
    if not command:
        raise InvalidSettings(f'[{where}] needs a command, a list such as ["npm", "run", "db:migrate"]')
    return CommandSettings(
        command=command,
        dry_run_command=values.get(table, "dry_run_command", values.arguments, where),
        help=values.get(table, "help", values.text, where) or "",
        confirm=values.get(table, "confirm", values.text, where),
        lock=values.get(table, "lock", values.text, where),
        timeout=values.get(table, "timeout", values.seconds, where),
        schedule=values.get(table, "schedule", values.text, where),
        time_zone=values.get(table, "time_zone", values.text, where) or CommandSettings.time_zone,
        nature=values.get(table, "nature", values.nature, where) or CommandSettings.nature,
        runner=values.get(table, "runner", values.boolean, where) is not False,
        environ=values.get(table, "environ", values.variables, where) or {},
    )


def _audit(table: dict[str, Any], root: Path, key: str | None) -> AuditSettings:
    where = "tool.oneoff.audit"
    audit = table.get("audit", {})
    if not isinstance(audit, dict):
        raise InvalidSettings(f"[{where}] is not a table")
    values.only(audit, _AUDIT, where)
    key = key or values.get(audit, "key", values.text, where)
    return AuditSettings(
        key=root / _path(key) if key else None,
        verify_keys=values.get(audit, "verify_key", values.texts, where) or (),
        anchors=values.get(audit, "anchors", lambda value: _anchors(value, root), where) or (),
        retention=values.get(audit, "retention", values.days, where) or RETENTION,
    )


def _anchors(value: Any, root: Path) -> tuple[AnchorSettings, ...]:
    if not isinstance(value, list):
        raise ValueError('a list of anchors is wanted, such as ["stdout", { file = "PATH" }]')
    return tuple(_anchor(entry, root) for entry in value)


def _anchor(entry: Any, root: Path) -> AnchorSettings:
    if entry == "stdout":
        return AnchorSettings(stdout=True)
    if isinstance(entry, dict) and set(entry) == {"file"}:
        return AnchorSettings(file=root / _path(values.text(entry["file"])))
    if isinstance(entry, dict) and set(entry) == {"command"}:
        return AnchorSettings(command=values.arguments(entry["command"]))
    raise ValueError('an anchor is "stdout", { file = "PATH" } or { command = ["PROGRAM", "ARGUMENT"] }')
