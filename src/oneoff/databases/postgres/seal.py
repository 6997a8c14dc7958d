"""The seal of one PostgreSQL database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from psycopg import errors

from oneoff import own
from oneoff.databases.postgres import effects, ending
from oneoff.databases.postgres.admission import opening, sealed_as
from oneoff.databases.postgres.interception import NOT_READ_ONLY, USE_DIRECT_ADDRESS, Intercepted, describe
from oneoff.databases.postgres.options import (
    IDLE_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    STATEMENT_TIMEOUT_SECONDS,
    WHOLE_SECONDS,
)
from oneoff.databases.postgres.session import Session, ask, one_line, sql, uncompared
from oneoff.databases.postgres.tenants import start
from oneoff.databases.postgres.wire.server import Address, WireServer
from oneoff.databases.together import SealedAlready, TakesNoWrites
from oneoff.dryrun import limits
from oneoff.dryrun.measure import Measure
from oneoff.dryrun.report import DatabaseReport
from oneoff.errors import DryRunStopped, DryRunUnavailable
from oneoff.threads import Newcomers
from oneoff.types import without_password

_LIMITS = (
    f"time limits: {STATEMENT_TIMEOUT_SECONDS} s a statement, {LOCK_TIMEOUT_SECONDS} s a lock,"
    f" {IDLE_SECONDS} s without a statement, {WHOLE_SECONDS} s in all"
)
_NOT_COVERED = (*limits.POSTGRES, _LIMITS)


class PostgresSeal:
    """Real execution in one transaction that the server refuses to commit, unless :meth:`keep` unseals it."""

    level = "sealed"

    def __init__(
        self, *, connect: Callable[[], Any], dispose: Callable[[], None], measure: Measure | None = None
    ) -> None:
        """``connect`` opens a psycopg connection as the app does; ``dispose`` empties the app's pool."""
        self._connect = connect
        self.dispose = dispose
        self._measure = measure or Measure()
        self._cleanup, self._watch = ExitStack(), ExitStack()
        self._session: Session | None = None
        self._before: effects.Schema = {}
        self._sequences: effects.Sequences = {}
        self._found = effects.Effects()
        self._schema_changes: tuple[str, ...] = ()
        self._moves: tuple[str, ...] = ()
        self._wires: tuple[WireServer, ...] = ()
        self._counting = "not measured: the dry run ended early"
        self._measured = self._over = self._kept = False

    def costs(self) -> tuple[str, ...]:
        said = "PostgreSQL: rows are really written, with their write-ahead log, and locked until the end"
        if not self._measure.rows:
            return (said,)
        limit = f"{self._measure.scan_limit:,} bytes"
        return (said, f"PostgreSQL: each table of up to {limit} that it writes to is read through once more")

    def __enter__(self) -> PostgresSeal:
        """Raises DryRunUnavailable where the database cannot be sealed, SealedAlready where it is by now."""
        with ExitStack() as watch, ExitStack() as undo:
            session = self._open()
            undo.callback(session.close)
            self._before = self._seal(session)
            undo.enter_context(ending.Cap(session))
            self._wires = wires = WireServer(session), WireServer(session, loopback=True)
            session.address = wires[0].address
            for wire in wires:
                watch.callback(wire.close)
            watch.enter_context(Intercepted(session))
            watch.enter_context(own.lent_name(session.connection.info.host))  # asyncio does so in a thread
            undo.callback(self._dispose_quietly)
            self._session = session
            self._cleanup, self._watch = undo.pop_all(), watch.pop_all()
        self._newcomers = Newcomers()
        return self

    def measure(self) -> None:
        """End the task's part: what its threads send from here on is refused."""
        session = self._opened
        for wire in self._wires:
            wire.settle()
        self._over = True
        self._cleanup.enter_context(session.quiet())
        try:
            session.check("unseen")
            with own.work():
                self._read_effects(session)
        except DryRunStopped:
            self._counting = "not measured: the sealed transaction did not live until the end of the task"
        except errors.Error as error:
            self._measured = False
            session.notes.attempt(f"the effects could not be read at the end: {one_line(error)}")

    def keep(self) -> None:
        """Commit what was measured. Raises NotCommitted, CommitUnknown."""
        ending.commit(self._opened)
        self._kept = True

    def __exit__(self, *exc_info: object) -> None:
        session = self._opened
        with ExitStack() as end:
            end.callback(self._stop_watching, session)
            end.enter_context(self._cleanup)
            if not self._over:
                self.measure()
            if session.ours:
                self._name_moved_sequences(session)

    def loopback(self) -> Address:
        """Where another process finds the sealed database; from the first call on somebody listens there.

        What it does there is this dry run's, as if the task had done it. Raises DryRunUnavailable, OSError.
        """
        return self._wires[1].address()

    def report(self) -> DatabaseReport:
        session = self._opened
        return DatabaseReport(
            database=session.database,
            level=self.level,
            measured=self._measured,
            tables=tuple(table for table in self._found.tables.values() if table.changed),
            samples=tuple(sample for samples in self._found.samples.values() for sample in samples),
            locks=tuple(self._found.locks),
            schema_changes=self._schema_changes,
            other_changes=self._moves + session.notes.changes + _uncompared(session),
            statements=session.statements.statements,
            statements_left_out=session.statements.left_out,
            counting=self._counting,
            not_covered=(*session.notes.gaps, *self._found.gaps, *_NOT_COVERED),
            attempts=session.notes.attempts,
        )

    @property
    def _opened(self) -> Session:
        assert self._session is not None, "the seal was never entered"
        return self._session

    def _open(self) -> Session:
        connection = self._connected()
        try:
            identity = ask(connection.pgconn, sql("identify"))[0]
            database = describe(connection)
            if sealed_as(identity):
                raise SealedAlready
            if identity["read_only_default"] != "on":
                raise DryRunUnavailable(NOT_READ_ONLY.format(database), next_step=USE_DIRECT_ADDRESS)
            if identity["takes_no_writes"] == "t":
                raise TakesNoWrites(database)
            if identity["may_make_temporary_tables"] != "t":
                raise DryRunUnavailable(
                    f"the role {identity['role']} has no privilege TEMP on {database}, and without it the"
                    " database cannot be made to refuse a commit",
                    next_step=f"GRANT TEMP ON DATABASE {connection.info.dbname} TO {identity['role']}",
                )
        except BaseException:
            connection.close()
            raise
        return Session(connection, identity, database)

    def _connected(self) -> Any:
        try:
            with opening():
                return self._connect()
        except DryRunUnavailable:
            raise
        except DryRunStopped as stopped:  # an earlier dry run of this process
            raise DryRunUnavailable(str(stopped), next_step="wait until they have ended") from stopped
        except Exception as error:  # the app's own connect function may raise anything
            raise DryRunUnavailable(
                f"the app's database cannot be reached: {without_password(one_line(error))}",
                next_step="check that the server runs and that the app's settings lead to it",
            ) from error

    def _seal(self, session: Session) -> effects.Schema:
        try:
            session.leave_transaction()
            self._sequences = _sequences(session)
            session.open()
            return effects.schema(session.pgconn)
        except errors.Error as error:
            raise DryRunUnavailable(
                f"{session.database} does not let a dry run begin: {one_line(error)}",
                next_step="a sealed dry run needs a primary server and a role with the privilege TEMP",
            ) from error

    def _read_effects(self, session: Session) -> None:
        pgconn = session.pgconn
        session.undo_failure()
        ending.fire_deferred(session)
        counts = session.identity["track_counts"] == "on"
        measuring = effects.Measuring(
            pgconn,
            connect=lambda: ending.beside(session),
            measure=self._measure,
            before=self._before,
            counts=counts,
        )
        self._found = measuring.effects()
        tables = self._found.tables.values()
        self._measured = counts or (self._measure.rows and not any(table.note for table in tables))
        exact = effects.EXACT if self._measure.rows else effects.GROSS
        self._counting = exact if self._measured else effects.NOT_COUNTED
        self._schema_changes = effects.schema_changes(self._before, effects.schema(pgconn))

    def _stop_watching(self, session: Session) -> None:
        """Let connections through again, once the threads that the task left behind are gone."""
        names = ", ".join(sorted(thread.name for thread in self._newcomers.alive()))
        if names:
            session.notes.gap(
                f"threads that the task left running ({names}): the database stays closed to them"
            )
        if self._kept:  # nothing has to be held any more
            self._watch.close()
        else:
            self._newcomers.when_gone(self._watch.close)

    def _name_moved_sequences(self, session: Session) -> None:
        """After the rollback: what has moved now has moved for good."""
        if not self._sequences:
            return
        with contextlib.suppress(errors.Error):  # the connection is gone, as the report says
            session.leave_transaction()
            self._moves = tuple(effects.sequence_moves(session.pgconn, self._sequences, _sequences(session)))

    def _dispose_quietly(self) -> None:
        with contextlib.suppress(Exception):  # the app's pool; the task's own error must not be hidden by it
            self.dispose()


def _uncompared(session: Session) -> tuple[str, ...]:
    """What the statements alone tell of."""
    said = (statement.sql for statement in session.statements.statements if uncompared(statement.sql))
    return tuple(f"{start(sql)}: by its statement, not compared" for sql in said)


def _sequences(session: Session) -> effects.Sequences:
    try:
        return effects.sequences(session.pgconn)
    except errors.Error as error:  # another session holds a lock on one
        session.notes.gap(f"whether sequences moved: {one_line(error)}")
        return {}
