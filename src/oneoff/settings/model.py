"""What the settings are: one frozen object of frozen parts, with what holds where nothing is said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from oneoff.errors import UsageError, did_you_mean
from oneoff.settings.kubernetes import KubernetesSettings

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
    """What a dry run has to be held by at least, of ``settings.LEVELS`` and ``settings.GUARDS``."""
    preview_environ: Mapping[str, str] = field(default_factory=dict)
    """For the dry run of a command: variables, and those of this process that hold their values, each the URL
    of a database as a role that can only read."""
    dry_run_hosts: tuple[str, ...] = ()
    """``NAME:PORT`` of what the task of a dry run may reach; its report names them as not covered."""
    kubernetes: KubernetesSettings | None = None
    """Where its app runs; None where that is this machine."""


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
    schedule: str | None = None
    """When it runs by itself."""
    time_zone: str = "UTC"
    nature: str = "one-shot"
    """``one-shot`` or ``migration``: how long its pod gets to stop, at least."""
    runner: bool = True
    """Whether oneoff is in the image; else the bare command is run, and watched from outside."""
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
    state: Path | None = None
    """``ONEOFF_STATE``: the folder for what is no record, where it is not beside the store."""
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
    intent: str | None = None
    """``ONEOFF_INTENT``: what the launcher of this process says of it."""

    @property
    def in_kubernetes(self) -> frozenset[str]:
        """The environments that are."""
        return frozenset(name for name, one in self.environments.items() if one.kubernetes is not None)

    @property
    def elsewhere(self) -> str:
        """As options: ``--env production or --env staging``; empty where there are none."""
        return " or ".join(f"--env {name}" for name in sorted(self.in_kubernetes))

    @property
    def state_dir(self) -> Path:
        """The folder for what is no record: logs, and room for outcomes; beside the store, as a rule."""
        return self.state or self.store.with_suffix(".d")

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
