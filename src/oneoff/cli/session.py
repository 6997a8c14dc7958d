"""One invocation of the command line: opens what a command needs, and shows errors as people need them."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from oneoff.errors import AppBroken, Interrupted, OneoffError, UsageError

if TYPE_CHECKING:
    from oneoff.commands.cluster.remote import Remote
    from oneoff.commands.emergency import Emergency
    from oneoff.protocols import Asker, Finding, Keys, Services
    from oneoff.runs.run import Actor, Release
    from oneoff.settings import Settings
    from oneoff.tasks.registry import Registry
    from oneoff.tasks.task import Task


class Session:
    """Settings, registry and services, each opened at first use: help needs none of them."""

    def __init__(self, app: str | None, *, registry: Registry | None = None, dedicated: bool = False) -> None:
        """``dedicated``: the process is there for this invocation alone."""
        self._dedicated = dedicated
        self._app = app
        self._registry = registry
        self.embedded = registry is not None
        self._settings: Settings | None = None
        self._services: Services | None = None
        self._reading: Services | None = None
        self._remotes: dict[str | None, Remote] = {}
        self._told = set[str]()

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            from pathlib import Path

            from oneoff.settings import load

            try:
                folder = Path.cwd()
            except FileNotFoundError:
                raise UsageError("the working folder is gone", next_step="cd to one that exists") from None
            self._settings = load(folder)
        return self._settings

    @property
    def reference(self) -> str | None:
        """``MODULE:NAME`` of the app, as it was asked for."""
        return self._app or self.settings.app

    @property
    def registry(self) -> Registry:
        """The app's tasks; raises AppNotFound or AppBroken."""
        if self._registry is None:
            self._registry = self.load()
        return self._registry

    @property
    def bare_tasks(self) -> list[Task]:
        """The commands of the settings that run without oneoff, of which no release needs to be asked."""
        from oneoff.commands.declared import command_task

        return [command_task(name, one) for name, one in self.settings.tasks.items() if not one.runner]

    def load(self) -> Registry:
        """The app's tasks, as a process of its own finds them; raises AppNotFound or AppBroken."""
        from contextlib import redirect_stdout

        from oneoff.wiring.project import load_registry

        with redirect_stdout(sys.stderr):  # what the app prints when it is imported is no result of ours
            return load_registry(self.settings, self._app)

    @property
    def services(self) -> Services:
        """The store and all around it, for a verb that records something; raises StoreUnavailable."""
        if self._services is None:
            from oneoff import own
            from oneoff.wiring.services import local_services

            if self._dedicated:
                own.dedicate()
            self._services = local_services(
                self.settings,
                asker=self.asker,
                say=tell,
                app=self._app,
            )
        return self._services

    def close(self) -> None:
        """Let go of clusters, and of the store where this thread has lost the rights to do so at the end."""
        for remote in self._remotes.values():
            remote.cluster.close()
        if self._services is not None:
            from oneoff import own

            if own.keeps_rights():
                own.unheld(self._services.store.close)

    @property
    def reading(self) -> Services:
        """The same for a verb that only reads: a store that cannot be written is read as it is."""
        if self._reading is None:
            from oneoff.wiring.services import reading_services

            self._reading = reading_services(self.settings, asker=self.asker, say=self._tell_once)
        return self._reading

    def remote(self, environment: str | None) -> Remote:
        """The environment of this name in Kubernetes; raises UsageError where it is elsewhere."""
        if environment not in self._remotes:
            from oneoff.wiring.remote import remote

            self._remotes[environment] = remote(self.settings, environment, asker=self.asker, say=tell)
        return self._remotes[environment]

    def remote_or_here(self, environment: str | None) -> Remote | None:
        """None where none is named, or one that is not in Kubernetes: the verb looks at the store here.

        Raises UsageError where there is none of that name.
        """
        if environment is None or self.settings.environment_named(environment).kubernetes is None:
            return None
        return self.remote(environment)

    def without_store(self) -> Emergency:
        """The same where the store cannot be used; raises StoreUnavailable where nothing else can, either."""
        from oneoff.wiring.emergency import emergency

        return emergency(self.settings, asker=self.asker, say=tell)

    @property
    def asker(self) -> Asker:
        """Whoever is at the terminal."""
        from oneoff.cli.asker import TerminalAsker

        return TerminalAsker()

    @property
    def release(self) -> Release:
        """The release of the code that is checked out here."""
        from oneoff.wiring.system import current_release

        return current_release(self.settings.root, self.settings.version)

    @property
    def actor(self) -> Actor:
        """Who is at work, before a store has given out the opaque id."""
        from oneoff.wiring.system import current_actor

        return current_actor(self.settings.claims)

    def keys(self) -> Keys:
        """The keys of the settings, which need no store."""
        from oneoff.wiring.services import keys_of

        return keys_of(self.settings)

    def check_store(self) -> list[Finding]:
        """What the store says of its own files."""
        from oneoff.wiring.store import check_store

        return check_store(self.settings)

    def _tell_once(self, text: str) -> None:
        """A verb that waits looks again and again."""
        if text not in self._told:
            self._told.add(text)
            tell(text)


def tell(text: str) -> None:
    """Say something to the person at work; standard output stays the result's."""
    with nobody_listening():
        click.echo(text, err=True)


@contextmanager
def nobody_listening() -> Iterator[None]:
    """A terminal that is gone changes nothing about the result, nor about the exit code."""
    try:
        yield
    except OSError:
        _write_no_more(2)


def _write_no_more(fd: int) -> None:
    """Else Python tries again at its end, and exits with 120."""
    import os

    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""How a write of the result fails. A reader that went away (EPIPE) is click's, and nothing to talk about."""


class ShownError(click.ClickException):
    """One of our errors on its way to the terminal: what happened, and what to do next."""

    def __init__(self, error: OneoffError) -> None:
        super().__init__(error.message)
        self.error = error

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has a class variable; ours is the error's
        return self.error.exit_code

    def show(self, file: Any = None) -> None:
        with nobody_listening():
            self._show()

    def _show(self) -> None:
        if isinstance(self.error, AppBroken) and self.error.__cause__ is not None:
            from oneoff.execution.failure import own_traceback

            click.echo(own_traceback(self.error.__cause__), err=True, nl=False)
        first, *others = self.message.splitlines() or [""]
        click.echo(f"error: {first}", err=True)
        for line in others:
            click.echo(f"       {line}", err=True)
        if self.error.next_step:
            click.echo(f"next:  {self.error.next_step}", err=True)


@contextmanager
def showing_errors() -> Iterator[None]:
    """Turn our errors into click's, which carry the exit code to the shell."""
    try:
        yield
    except OneoffError as error:
        raise ShownError(error) from error
    except KeyboardInterrupt as error:  # click would exit with 1: a task has failed
        raise ShownError(
            Interrupted("interrupted", next_step="`oneoff runs` shows what has begun")
        ) from error
    except click.ClickException as error:
        error.show = nobody_listening()(error.show)  # type: ignore[method-assign]  # keeps its class for others
        raise
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        # Stores, logs and apps explain their own; a bare write that failed is that of the result.
        _write_no_more(1)
        lost = OneoffError(
            f"the output could not be written: {error.strerror}",
            next_step="send it to a place that takes it; what a run did is in its record",
        )
        raise ShownError(lost) from error


class ShowingGroup(click.Group):
    """A group that shows our errors, wherever below it they come from."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with showing_errors():  # `--help` writes while it is parsed
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with showing_errors():
            return super().invoke(ctx)


def session_of(ctx: click.Context) -> Session:
    """The invocation that a command belongs to."""
    session = ctx.find_object(Session)
    assert session is not None
    return session
