"""The narrow seams to everything outside: what the product's decisions need, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from oneoff.types import JSONObject, RunId, rfc3339

if TYPE_CHECKING:  # seams are types: whoever uses one has loaded what goes through it
    from oneoff.audit.event import Event, Observer, StoredEvent
    from oneoff.audit.evidence import Statement
    from oneoff.audit.merkle import Checkpoint, Place
    from oneoff.audit.note import Note, VerifyKey
    from oneoff.audit.verify import Decode
    from oneoff.audit.witness import Sighting
    from oneoff.dryrun.seams import Confinement, Databases, Guard
    from oneoff.errors import StoreUnavailable
    from oneoff.runs.intent import Intent
    from oneoff.runs.run import Actor, Process, Progress, Release, Run
    from oneoff.runs.status import Status
    from oneoff.settings import EnvironmentSettings, Settings


class Clock(Protocol):
    """Time, so that tests can make it jump."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; for durations only."""


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """Which runs to list, newest first."""

    statuses: frozenset[Status] | None = None
    task: str | None = None
    actor: str | None = None
    since: datetime | None = None
    id_prefix: str | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class EventQuery:
    """Which audit events to list; every condition that is given has to hold."""

    run_id: RunId | None = None
    type: str | None = None
    """As :func:`oneoff.audit.event.short_type` says it."""
    task: str | None = None
    actor: str | None = None
    """A name of the directory, whatever its kind, or an opaque subject."""
    environment: str | None = None
    table: str | None = None
    """Only outcomes that counted changed rows of this table."""
    measured: bool | None = None
    """Only outcomes whose rows were counted, or only those whose rows were not."""
    status: Status | None = None
    """Only outcomes and refusals with this status."""
    since: datetime | None = None
    until: datetime | None = None
    """Up to, and not at, this time."""
    limit: int | None = None
    """The newest so many of them."""

    def fits(self, beside: JSONObject, subjects: Container[Any]) -> bool:
        """Whether an event with these index columns matches, whatever the limit.

        Args:
            subjects: those that ``actor`` stands for, itself among them.
        """
        exact = {
            "run_id": self.run_id,
            "type": self.type,
            "task": self.task,
            "environment": self.environment,
            "measured": self.measured,
            "status": self.status,
        }
        time, tables = str(beside["time"]), beside["tables"]
        return (
            all(wanted is None or beside[name] == wanted for name, wanted in exact.items())
            and (self.actor is None or beside["actor"] in subjects)
            and (self.table is None or (isinstance(tables, list) and self.table in tables))
            and (self.since is None or time >= rfc3339(self.since))
            and (self.until is None or time < rfc3339(self.until))
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at to find out whether oneoff can work here."""

    name: str
    ok: bool
    message: str
    next_step: str = ""


class Store(Protocol):
    """oneoff's own records: runs and the audit log, changed together or not at all.

    Every method raises :class:`~oneoff.errors.StoreUnavailable` (or a class below it) where the records
    cannot be read or written. A method that takes an event appends it in the transaction that changes the
    run, so there is no state without its record and no record of a change that did not happen.
    """

    def create(self, run: Run, event: Event) -> Run:
        """Record a new run. Raises :class:`~oneoff.errors.AlreadyStarted` where the id is taken."""

    def adopt(self, run: Run, events: Sequence[Event]) -> None:
        """Record a run that has ended without this store, with all its events in their order, or nothing.

        Raises AlreadyStarted where the id is taken.
        """

    def save(self, run: Run, event: Event | None = None) -> Run:
        """Replace the record if ``run.version`` is still the stored one; the result has the next version.

        Raises:
            StoreConflict: another process changed the record first.
            LockHeld: the run would be executing while another one executes under the same lock.
        """

    def get(self, run_id: RunId) -> Run:
        """One run. Raises :class:`~oneoff.errors.RunNotFound`."""

    def find(self, query: RunQuery) -> list[Run]:
        """The runs that match, newest first."""

    def beat(self, run_id: RunId, fence: int, at: datetime, progress: Progress | None) -> Run | None:
        """Say that the run's process lives; does not count as a change (``version`` stays).

        Returns the record as it is now, or None where ``fence`` is no longer the run's: the lease is lost.
        """

    def record(self, event: Event) -> None:
        """Append an event that belongs to no change of a run."""

    def events(self, *, start: int = 0, run_id: RunId | None = None) -> Iterator[StoredEvent]:
        """The audit log from sequence number ``start``, or from its own start, in constant memory."""

    def search(self, query: EventQuery) -> list[StoredEvent]:
        """The newest events that match, oldest first: by their time, then by their place in the log."""

    def start(self) -> int:
        """The place of the first event that is kept; 0 in a log that was never pruned."""

    def prune(self, to: int, event: Event) -> None:
        """Move the start of the log to place ``to`` and append the ``log.pruned`` that says so, together.

        From then on no reader meets an event before it. Its body is still there until :meth:`forget`. All
        hashes of the tree stay for ever, so every checkpoint and every proof holds as before.

        Raises:
            StoreConflict: the start is there or beyond already, or the log is shorter.
            Refused: the store has a time of retention of its own, and an event is younger.
        """

    def forget(self) -> bool:
        """Delete some of the events before the start, and the records of runs that have no event any more.

        A short transaction, so that others may write in between. Runs that are under way are kept.

        Returns:
            Whether there is more to delete. A kill in between loses nothing: call it again.
        """

    def checkpoint(self) -> Checkpoint:
        """Size and root of the audit log, as the store itself holds them."""

    def log_name(self) -> str:
        """Tells this audit log from every other one: 32 random hexadecimal digits, given once."""

    def hashes(self, places: Sequence[Place]) -> Mapping[Place, bytes]:
        """The hashes of these complete subtrees of the log's tree, which never change.

        Raises :class:`~oneoff.errors.StoreCorrupted` where one is missing.
        """

    def subject(self, actor: Actor) -> str:
        """The opaque id of this actor, given out at first sight; names stay out of the hashed bytes."""

    def actors(self) -> dict[str, Actor]:
        """The directory: whom each opaque id stands for; a name that was erased is empty."""

    def erase(self, name: str, event: Event) -> int:
        """Forget this name: in the directory, whatever its kind, and where a run's record has it as that of
        the actor or as a claim. The opaque subjects stay. ``event`` is appended in the same transaction.

        Whoever comes back under the name gets a new subject. Returns the number of records changed.
        """

    def close(self) -> None:
        """Let go of files and connections."""


Phase: TypeAlias = Literal["pre", "post", "all"]
"""Of an upgrade: what old clients can live with, what they cannot, or both."""


class StoreAdmin(Protocol):
    """Makes and upgrades the place where records are kept. Both say in words what was done."""

    def init(self, role: str | None, retention_days: int | None = None) -> list[str]:
        """Make the store for the app's role; twice changes nothing. Raises StoreUnavailable.

        Args:
            retention_days: how long the store itself lets no event be pruned, whatever the settings say.
        """

    def upgrade(self, phase: Phase) -> list[str]:
        """Bring the store up to date. Raises StoreUnavailable."""


class Laboratory(Protocol):
    """A throw-away store, and somebody with every right to it: what ``audit selftest`` tries attacks on.

    Every method raises StoreUnavailable.
    """

    name: str
    """What kind of store it is."""

    def open(self) -> Store:
        """The store as the product opens it; closed by the caller before anything else is done here."""

    def keep(self, name: str) -> None:
        """Make a backup of the whole store."""

    def put_back(self, name: str) -> None:
        """Replace the whole store by this backup."""

    def change(self, what: str, **values: int | str | bytes) -> None:
        """Do what the block ``what`` of ``stores/sql/attacks.sql`` says, with the guards of the log off."""


class Spool(Protocol):
    """Room on disk, set aside before a run starts, for an outcome that the store cannot take."""

    def reserve(self, run_id: RunId) -> None:
        """Set the room aside. Raises :class:`~oneoff.errors.StoreUnavailable`."""

    def write(self, run_id: RunId, document: bytes) -> None:
        """Keep the outcome in the room set aside; works on a disk that is full by now. Raises OSError."""

    def pending(self) -> Iterator[tuple[RunId, bytes]]:
        """The outcomes that still wait to be recorded."""

    def release(self, run_id: RunId) -> None:
        """Give the room back."""


class Witness(Protocol):
    """Remembers what this user saw last of one audit log, out of reach of whoever may write the store.

    It raises nothing: what it cannot read or write, it says, and remembers nothing.
    """

    def recall(self) -> Sighting | None:
        """The last sighting; None where there is none."""

    def remember(self, sighting: Sighting, *, instead: bool = False) -> bool:
        """Keep this one, if it is a longer state of the same log or, with ``instead``, whatever it is.

        Returns whether it was written.
        """


@dataclass(frozen=True, kw_only=True)
class SubLogFile:
    """The record of a run that went by without the store."""

    path: str
    content: bytes
    """As :mod:`oneoff.audit.sublog` reads it."""
    changed_at: datetime
    """When its process last wrote it or beat."""


class SubLogs(Protocol):
    """Such records that wait for the store."""

    def pending(self) -> Iterator[SubLogFile]:
        """Those on this machine that belong to this store."""

    def release(self, file: SubLogFile) -> None:
        """Remove one that is in the store. Raises OSError."""


class Processes(Protocol):
    """What this machine knows of processes."""

    def current(self) -> Process:
        """This very process."""

    def alive(self, process: Process) -> bool | None:
        """Whether it still runs; None where it cannot be known from here (another machine)."""


class Launcher(Protocol):
    """Starts another process for a run that is confirmed and recorded."""

    name: str

    def launch(self, run: Run, secrets: Mapping[str, str]) -> Process | None:
        """Start it; secrets travel by a pipe, never by arguments or environment."""


class Keys(Protocol):
    """Signs checkpoints and checks signatures. Every method raises :class:`~oneoff.errors.KeyUnusable`."""

    def sign(self, text: str) -> Note:
        """The text with the signature of the installation's own key."""

    def verify_key(self) -> VerifyKey | None:
        """The public half of that key; None where none is configured."""

    def fits(self, key: VerifyKey, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is that of the key; any key, no private one is needed."""


class Anchor(Protocol):
    """A place outside the store that keeps checkpoints."""

    name: str
    """For messages and for the audit log; holds no secret."""

    def keep(self, statement: Statement, *, stdout_taken: bool) -> None:
        """Keep it there. Raises :class:`~oneoff.errors.AnchorFailed`.

        With ``stdout_taken`` standard output belongs to a document.
        """


class Asker(Protocol):
    """Somebody at a terminal who can be asked."""

    @property
    def interactive(self) -> bool: ...

    def confirm(self, question: str) -> bool: ...

    def text(self, prompt: str) -> str: ...

    def secret(self, prompt: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything that the verbs use, built in one place (``wiring``) and handed down."""

    settings: Settings
    store: Store
    spool: Spool
    processes: Processes
    databases: Databases
    guard: Callable[[Callable[[str], str], EnvironmentSettings], Guard]
    """A guard for one dry run: by what masks the run's secrets in a text, and the environment."""
    confine: Callable[[Collection[int]], Confinement]
    """For one command, which may connect to these ports; raises DryRunUnavailable where it cannot be held."""
    launcher: Launcher
    clock: Clock
    asker: Asker
    actor: Actor
    """Who is at work, with the opaque id that the store gave out."""
    intent: Intent | None = None
    """What the launcher of this process says of it; None where nobody launched it from elsewhere."""
    observer: Observer
    """This process, as the audit log names it."""
    release: Release
    """The release of the code that is checked out here; the task adds its own part."""
    say: Callable[[str], None]
    """Tells the person at work something, beside the result."""
    keys: Callable[[], Keys]
    """Loaded when a signature is wanted."""
    decoder: Callable[[], Decode]
    """What reads the events of a log that is verified, loaded when one is."""
    anchors: Sequence[Anchor] = ()
    """Each is given the checkpoint after every run."""
    sub_logs: SubLogs | None = None
    """Records of runs that broke the glass; None in a process that has broken it itself."""
    stand_in: bool = False
    """The store stands in for one that cannot be used: its log is not the audit log."""
    only_reads: bool = False
    """The verb changes nothing: where the store cannot be written, it shows what is there."""
    unwritable: StoreUnavailable | None = None
    """Why the store was opened for reading alone."""
    no_store: str = ""
    """Where the store would be, for a verb that only reads and found none; it makes none."""
    witness: Witness | None = None
    """None where nothing can be remembered: a user without a home."""
