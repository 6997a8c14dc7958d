"""The one physical session of a sealed dry run, and the rule that nobody gets past it."""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import resources
from typing import Any

from psycopg import errors, pq

from oneoff.databases.postgres.ledger import Interleaved, Ledger
from oneoff.databases.watching import Notes, StatementLog
from oneoff.errors import DryRunStopped

Row = Mapping[str, str | None]

_PATIENCE_SECONDS = 5.0
_IDLE = pq.TransactionStatus.IDLE
_FAILED = pq.TransactionStatus.INERROR
_DONE = {pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY}

_SUSPICIOUS = re.compile(
    r"transaction_read_only|read\s+write|and\s+chain|_oneoff_(?:seal|parent)", re.IGNORECASE
)
_TURNS_THE_GUARD_OFF = re.compile(
    r"\b(?:set|reset|alter|set_config)\b[^;]*\b(?:default_)?transaction_read_only\b"
    r"|\b(?:begin|start\s+transaction|set\s+(?:local\s+|session\s+characteristics\s+as\s+)?transaction)\b"
    r"[^;]*\bread\s+write\b"
    r"|\b(?:commit|end|rollback|abort)\b[^;]*\band\s+chain\b"
    r"|\b_oneoff_(?:seal|parent)\b",
    re.IGNORECASE,
)
_NOTIFIES = re.compile(
    r"""(?:^|;|\*/)\s*notify\s+(?P<name>"[^"]+"|\w+)"""
    r"""|\bpg_notify\b"?\s*\((?:\s*'(?P<text>[^']+)'\s*(?:,|::))?""",
    re.IGNORECASE | re.MULTILINE,
)
_LASTS = (
    (
        r"\bsetval\b\"?\s*\(",
        "calls setval, and no rollback puts the sequence back; ALTER SEQUENCE … RESTART can be undone",
    ),
    (
        r"\bdblink(?:_exec|_send_query|_connect\w*)?\b\"?\s*\(",
        "calls dblink, whose work is its own transaction's",
    ),
    (
        r"\bcopy\b[^;]*\b(?:to|from)\s+program\b|\boptions\s*\([^;]*\bprogram\s+'",  # the latter of file_fdw
        "starts a program on the server's machine",
    ),
    (r"\bcopy\b[^;]*\bto\s+(?:e?'|\$|%s)", "writes a file on the server's machine"),
    (r"\blo_export\b\"?\s*\(", "writes a file on the server's machine"),
    (
        (
            r"\bpg_(?:(?:terminate|cancel)_backend|reload_conf|rotate_logfile|switch_wal|promote"
            r"|create_restore_point|(?:create|copy|drop)_(?:logical_|physical_)?replication_slot"
            r"|(?:replication|logical)_slot_\w+|sync_replication_slots|replication_origin_\w+"
            r"|wal_replay_(?:pause|resume)|backup_(?:start|stop)|(?:start|stop)_backup|logical_emit_message"
            r"|stat_(?:statements_)?reset\w*|log_(?:backend_memory_contexts|standby_snapshot)"
            r"|file_(?:write|rename|unlink|sync))\b\"?\s*\("
        ),
        "acts on the server at once",
    ),
)
"""What no rollback undoes, by a statement's text. Source: https://www.postgresql.org/docs/current/sql-copy.html
and functions-sequence.html, functions-admin.html, contrib-dblink-function.html there."""
_LASTING = tuple((re.compile(pattern, re.IGNORECASE), words) for pattern, words in _LASTS)
_KINDS = (
    "access method|aggregate|cast|collation|conversion|database|default privileges|domain|event trigger"
    "|extension|foreign data wrapper|function|group|(?:trusted |procedural )*language|large object|operator"
    "|policy|procedure|publication|role|routine|rule|schema|server|statistics|subscription|system|text search"
    "|transform|trigger|type|user"
).replace(" ", r"\s+")
_UNCOMPARED = re.compile(
    rf"(?:^|;|\*/)\s*(?:(?:create(?:\s+or\s+replace)?|alter|drop)\s+(?:constraint\s+)?(?:{_KINDS})\b"
    r"|grant\b|revoke\b|comment\s+on\b|security\s+label\b|(?:reassign|drop)\s+owned\b|import\s+foreign\b"
    r"|alter\s+table\b[^;]*\b(?:row\s+level\s+security|set\s+statistics|owner\s+to|cluster\s+on|replica\s+identity"
    r"|(?:enable|disable)\s+(?:always\s+|replica\s+)?(?:trigger|rule))\b)"
    r"|\blo_?(?:creat|create|from_bytea|import|put|truncate|truncate64|unlink|write)\b\"?\s*\(",
    re.IGNORECASE | re.MULTILINE,
)
"""Changes of what the looks at the schema do not see.

Source: https://www.postgresql.org/docs/current/sql-commands.html
"""


def turns_the_guard_off(statement: str) -> bool:
    """Whether a statement's text means to get around the seal.

    Against a careless task, which the message then helps; a hostile one needs a role that can only read.
    """
    return bool(_SUSPICIOUS.search(statement) and _TURNS_THE_GUARD_OFF.search(statement))


def lasts(statement: str) -> str | None:
    """What a statement does, by its text, that no rollback undoes; None where nothing of that kind shows.

    The same comfort: what a function of the database hides is not seen.
    """
    return next((words for pattern, words in _LASTING if pattern.search(statement)), None)


def uncompared(statement: str) -> bool:
    """Whether a statement, by its text, changes something that is not looked at before and after."""
    return bool(_UNCOMPARED.search(statement))


def notifications(statement: str) -> list[str]:
    """What a statement's text notifies, in words; a channel that a parameter names is not known."""
    return [
        f"notifies channel {channel}" if channel else "sends notifications (pg_notify)"
        for channel in (found["name"] or found["text"] for found in _NOTIFIES.finditer(statement))
    ]


def sql(name: str) -> bytes:
    """The text of one file of ``sql/``."""
    return resources.files(__package__).joinpath("sql", f"{name}.sql").read_bytes()


def ask(pgconn: Any, query: bytes, *values: bytes) -> list[Row]:
    """Run a query on a raw libpq connection; every value as text. Raises psycopg.Error."""
    result = pgconn.exec_params(query, values) if values else pgconn.exec_(query)
    if result.status not in _DONE:
        raise failed(result)
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    return [
        {name: _text(result.get_value(row, column)) for column, name in enumerate(names)}
        for row in range(result.ntuples)
    ]


def wait(pgconn: Any) -> None:
    """Until the server has sent more. libpq's own waiting would hold up all threads of this process."""
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    poll.poll()
    pgconn.consume_input()


def next_result(pgconn: Any) -> Any:
    """The next result of what was sent, None where there is none. Raises psycopg.Error."""
    while pgconn.is_busy():
        wait(pgconn)
    return pgconn.get_result()


def failed(result: Any) -> errors.Error:
    """The error that a result of libpq stands for."""
    sqlstate = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"08000").decode()
    return errors.lookup(sqlstate)(result.get_error_message("utf-8"))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


class Session:
    """A physical connection with one open transaction that cannot be committed."""

    def __init__(self, connection: Any, identity: Row, database: str) -> None:
        self.connection = connection
        self.pgconn = connection.pgconn
        self.identity = identity
        self.database = database
        self.lock = threading.RLock()  # reentrant: one thread may use two connections at once
        self.ledger = Ledger()
        self.notes = Notes()
        self.statements = StatementLog()
        self.closed = False
        self.pid = os.getpid()
        self.address: Callable[[], Any] = lambda: None
        """Where other drivers find the server of :mod:`.wire`, which is opened when it is asked for."""
        self.unfinished: set[int] = set()
        """Tenants whose last autocommit transaction has more statements to come."""
        self.forgotten = 0
        """How often all prepared statements were given up, whosever they were."""
        self._last: int | None = None
        self._ended: DryRunStopped | None = None

    def leave_transaction(self) -> None:
        """Roll back whatever is open. Raises psycopg.Error."""
        if self.pgconn.transaction_status != _IDLE:
            ask(self.pgconn, b"ROLLBACK")

    def open(self) -> None:
        """Begin the transaction and seal it. Raises psycopg.Error."""
        self.leave_transaction()
        ask(self.pgconn, sql("seal"))

    @property
    def ours(self) -> bool:
        """False in a child process that was forked: it shares the socket, and must not use it."""
        return os.getpid() == self.pid

    @property
    def broken(self) -> bool:
        """Whether the transaction is gone: the server has refused a commit, or the task rolled it back."""
        return self.pgconn.transaction_status in (_IDLE, pq.TransactionStatus.UNKNOWN)

    def note_notifications(self, text: str, shown: str) -> None:
        """What a statement would notify is a change that a real run makes.

        Args:
            shown: the statement without the values that its driver has written into it.
        """
        for notification in notifications(text) if notifications(shown) else ():
            self.notes.change(notification)

    def note_failure(self, shown: str, sqlstate: str | None) -> None:
        """A statement of the task has failed; here that is the task's own affair."""

    def refuse_latecomers(self) -> None:
        """Stop who comes after the end of the dry run. Raises DryRunStopped."""
        if self.closed:
            raise self.notes.attempt(
                f"the dry run of {self.database} has ended, and threads that its task left running may not"
                " use PostgreSQL any more"
            )

    def check(self, statement: str) -> None:
        """Stop the task where the transaction is gone. Raises DryRunStopped."""
        if not self.ours:
            raise self.notes.attempt("a forked child process used a connection of its parent")
        if self.pgconn.transaction_status == pq.TransactionStatus.UNKNOWN:
            raise self.notes.attempt(
                f"the connection to {self.database} was lost in the middle of the dry run"
            )
        if self.broken and self._ended is None:
            self._ended = self.notes.attempt(
                f"the task ended the transaction by itself ({statement}), and the server rolled it back."
                " Commit and roll back through the connection instead (connection.commit())"
            )
        if self.broken:
            raise DryRunStopped(str(self._ended))

    def failed(self, tenant: int) -> bool:
        """Whether this tenant's transaction has failed, and nobody has ended it yet."""
        return self.ledger.doomed(tenant) or (
            self._last == tenant and bool(self.pgconn.transaction_status == _FAILED)
        )

    def before_statement(
        self, tenant: int, *, autocommit: bool, reads: bool, goes_on: bool = False
    ) -> list[str]:
        """The commands that have to go first. Raises DryRunStopped, Interleaved, psycopg.Error.

        Args:
            goes_on: the statement belongs to the autocommit transaction of the one before.
        """
        self.check("by an earlier statement")
        failed, commands = self._failure(tenant)
        goes_on = goes_on and self.ledger.runs(tenant)
        if not goes_on:
            commands += self.ledger.settle(tenant, failed=failed)
        if self.ledger.doomed(tenant):
            raise errors.InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            )
        if not goes_on:
            commands += self.ledger.begin(tenant, autocommit=autocommit)
        if not reads:
            self.ledger.wrote(tenant)
        self._last = tenant
        return commands

    def check_rollback_to(self, tenant: int) -> None:
        """Whether a tenant may go back to a savepoint of its own. Raises Interleaved, psycopg.Error."""
        if self._last is not None and not self.failed(self._last):
            for command in self._settle_last(tenant):
                ask(self.pgconn, command.encode())
        self.ledger.check_rollback_to(tenant)

    def end_of_transaction(self, tenant: int, *, commit: bool) -> list[str]:
        """The commands for a tenant's commit or rollback. Raises DryRunStopped, Interleaved."""
        if self.broken and not commit:
            return []
        self.refuse_latecomers()
        self.check("COMMIT by an earlier statement")
        failed, commands = self._failure(tenant)
        if tenant not in self.unfinished and (settled := self.ledger.settle(tenant, failed=failed)):
            return commands + settled
        if commit and not failed:
            return commands + self.ledger.commit(tenant)
        return commands + self.ledger.rollback(tenant, failed=failed)

    def undo_failure(self) -> None:
        """Undo the transaction that failed last and that nobody has ended. Raises psycopg.Error."""
        if self.pgconn.transaction_status != _FAILED:
            return
        try:
            commands = [] if self._last is None else self.ledger.rollback(self._last, failed=True)
        except Interleaved:
            self.notes.gap("schema changes: two connections had uncommitted work, and one of them failed")
            commands = []
        for command in commands or ["ROLLBACK TO SAVEPOINT _oneoff_base"]:
            ask(self.pgconn, command.encode())

    def _failure(self, tenant: int) -> tuple[bool, list[str]]:
        """Whether this tenant's transaction has failed, and what ends what another one has left open."""
        if self._last is None:
            return False, []
        if self.pgconn.transaction_status != _FAILED:
            return False, self._settle_last(tenant)
        return (True, []) if self._last == tenant else (False, self.ledger.doom(self._last))

    def _settle_last(self, tenant: int) -> list[str]:
        """End the autocommit statement that another tenant ran last: nobody can undo it any more."""
        if self._last in (None, tenant) or self._last in self.unfinished:
            return []
        return self.ledger.settle(self._last, failed=False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep the task's threads out; a statement of theirs that still runs is cancelled."""
        if not self.lock.acquire(timeout=_PATIENCE_SECONDS):
            with suppress(errors.Error):
                self.pgconn.get_cancel().cancel()
            self.lock.acquire()
        try:
            self.closed = True
            yield
        finally:
            self.lock.release()

    def close(self) -> None:
        """Roll everything back and leave. Never raises: a server that is gone has rolled back by itself.

        Whoever is still at work is waited for: libpq's memory must not go while another thread is in it.
        """
        with self.quiet():
            self.connection.close()


def one_line(error: BaseException) -> str:
    """The first line of a driver's message: the lines after it hold values."""
    return str(error).strip().partition("\n")[0]
