"""The guard that every dry run of a function has: it stops what Python tells of by an audit event (PEP 578).

A hook cannot be removed, so there is one per process, and it looks at nothing while no guard is in force. It
sees all threads, and what Python does: not what C code does by itself.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from oneoff import own
from oneoff.dryrun import limits
from oneoff.guards import files, foreign, network, signals
from oneoff.guards.attempts import Attempts
from oneoff.guards.connections import PutAside, children, standard_streams, writable_files
from oneoff.guards.connections import foreign as foreign_connections
from oneoff.guards.processes import ProcessGuard
from oneoff.scratch import PREFIX, scratch_for_task
from oneoff.threads import Newcomers

_WHY_FILES = "which would stay; a temporary file belongs into the folder that `tempfile` gives"
_WHY_NETWORK = (
    'which no rollback reaches; oneoff.effect("…", FUNCTION, …) records it, and a dry run does not call it;'
    " an environment may let hosts through (dry_run_hosts)"
)
_WHY_OTHERS = "which reaches beyond this process"
_WHY_FOREIGN = "which no event tells of"
_active: list[AuditHookGuard] = []
_lock = threading.Lock()
_installed = False


class AuditHookGuard:
    """Implements :class:`oneoff.dryrun.seams.Guard`. Threads that the task leaves behind are held as well."""

    name = "audit hook"

    def __init__(
        self, mask: Callable[[str], str] = str, hosts: Iterable[str] = (), own_files: Iterable[str] = ()
    ) -> None:
        """
        Args:
            mask: goes over every text before it is cut, which may make a secret unknowable.
            hosts: ``NAME:PORT`` of what the task may reach.
            own_files: how the paths of oneoff's own records begin.
        """
        self.hosts = network.Hosts(hosts)
        self._attempts = Attempts(mask)
        self._own_files = tuple(own_files)
        self._streams = standard_streams()  # now: later they are copied to the run's log
        self._beyond: tuple[str, ...] = ()
        self._aside: tuple[str, ...] = ()
        self._block = ExitStack()

    @property
    def attempts(self) -> tuple[str, ...]:
        return self._attempts.texts

    @property
    def beyond(self) -> tuple[str, ...]:
        return self._beyond

    @property
    def not_covered(self) -> tuple[str, ...]:
        through = tuple(f"{host}, which the environment lets through" for host in self.hosts.allowed)
        aside = (
            f"the connection to {where} from before the dry run, out of the task's reach meanwhile"
            for where in self._aside
        )
        return (*through, *self._beyond, *aside, *self.limits)

    @property
    def limits(self) -> tuple[str, ...]:
        """What this kind of guard does not hold, whatever the task."""
        return limits.AUDIT_HOOK

    def __enter__(self) -> AuditHookGuard:
        with own.work():
            tempfile.gettempdir()  # it writes a file to find out, once
        with ExitStack() as block:
            block.enter_context(ProcessGuard(self._attempts))
            block.enter_context(_listening(self))
            self._block = block.pop_all()
        self._newcomers = Newcomers()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._newcomers.when_gone(self._block.close)

    @contextmanager
    def around_task(self) -> Iterator[None]:
        """Lends the task a folder for its temporary files, and puts out of its reach what was open before."""
        with ExitStack() as stack:
            self._beyond = self._open_before()
            self._aside = stack.enter_context(PutAside(self.hosts, self._used)).places
            stack.enter_context(_temporary_folder())
            yield

    def check(self, event: str, args: tuple[Any, ...]) -> None:
        """Raises DryRunStopped where the task may not do what the event tells of; it is noted as well."""
        if event in files.CHECKS:
            what, why = files.check(event, args), _WHY_FILES
        elif event in network.CHECKS:
            what, why = network.check(self.hosts, event, args), _WHY_NETWORK
        elif event in signals.CHECKS:
            what, why = signals.check(event, args), _WHY_OTHERS
        else:
            what, why = foreign.check(event, args), _WHY_FOREIGN
        if what is not None:
            raise self._attempts.note(what, why)

    def _used(self, where: str) -> None:
        self._attempts.note(f"send to {where} over a connection from before the dry run", _WHY_NETWORK)

    def _open_before(self) -> tuple[str, ...]:
        begins = (*self._own_files, os.path.join(tempfile.gettempdir(), PREFIX))  # noqa: PTH118
        with own.work():
            connections = foreign_connections(self.hosts)
            opened, started = writable_files(begins, self._streams), children()
        return (
            *(f"a connection to {where} that C code opened before the dry run" for where in connections),
            *(f"{path}, which was open for writing before the dry run" for path in opened),
            *(
                f"process {one}, which was started before the dry run, and does what it is told"
                for one in started
            ),
        )


@contextmanager
def _listening(guard: AuditHookGuard) -> Iterator[None]:
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True
        if not _active:
            _tell_of_silent_functions()
        _active.append(guard)
    try:
        yield
    finally:
        with _lock:
            _active.remove(guard)
            if not _active:
                _put_back()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _EVENTS and _active and not own.at_work():
        for guard in tuple(_active):
            guard.check(event, args)


_EVENTS = frozenset((*files.CHECKS, *network.CHECKS, *signals.CHECKS, *foreign.EVENTS))


@contextmanager
def _temporary_folder() -> Iterator[None]:
    """What :mod:`tempfile` gives, and whoever else reads TMPDIR; gone with all that is in it."""
    with ExitStack() as stack:
        folder = scratch_for_task(stack)
        before = os.environ.get("TMPDIR"), tempfile.tempdir, sys.dont_write_bytecode
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        sys.dont_write_bytecode = True  # else what the task imports is written beside its source
        try:
            yield
        finally:
            _, tempfile.tempdir, sys.dont_write_bytecode = before
            if before[0] is None:
                os.environ.pop("TMPDIR", None)
            else:
                os.environ["TMPDIR"] = before[0]


_SILENT = (
    "os.mkfifo",
    "os.mknod",
    "os.open",
    "os.sched_setaffinity",
    "os.sched_setparam",
    "os.sched_setscheduler",
    "os.setpriority",
    "signal.pidfd_send_signal",
    "_posixshmem.shm_open",
    "_posixshmem.shm_unlink",
)
"""Functions that raise no audit event by themselves, or one without the folder (``os.open``); here they do,
as long as a guard is in force."""
_originals: dict[str, Any] = {}


def _tell_of_silent_functions() -> None:
    for event in _SILENT:
        module, _, name = event.partition(".")
        with suppress(ImportError, AttributeError):  # not on every system
            _originals[event] = getattr(importlib.import_module(module), name)
            setattr(sys.modules[module], name, _telling(event, _originals[event]))


def _put_back() -> None:
    for event in _SILENT:
        if event in _originals:
            module, _, name = event.partition(".")
            setattr(sys.modules[module], name, _originals.pop(event))


def _telling(event: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def tell(*args: Any, **kwargs: Any) -> Any:
        folder = kwargs.get("dir_fd")
        first = args[0] if args else next(iter(kwargs.values()), None)
        _hook(event, (first, *args[1:2], -1 if folder is None else folder))
        with nullcontext() if folder is None else own.work():  # an event of its own would not know the folder
            return function(*args, **kwargs)

    return tell
