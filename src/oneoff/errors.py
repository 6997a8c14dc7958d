"""Every error that oneoff raises on purpose, each with its exit code and the reader's next step.

    OneoffError                     1
    ├── UsageError                  2   what was asked for cannot be meant
    │   ├── TaskNotFound
    │   ├── RunNotFound
    │   ├── InvalidParameters           every problem of one input, together
    │   ├── InvalidDeclaration          a task is declared in a way that cannot work
    │   ├── InvalidSettings
    │   ├── KeyUnusable                 a key cannot be read, is no key, or may be read by others
    │   ├── AppNotFound
    │   └── ManifestUnfit               Kubernetes objects that no run can be made of
    ├── Refused                     3   understood, and not done
    │   ├── AppBroken                   importing the app raised: the cause is the user's own
    │   ├── NotConfirmed
    │   ├── ReasonRequired
    │   ├── LockHeld
    │   ├── AlreadyStarted
    │   ├── CommandNotStarted           a command task's program is missing or cannot be executed
    │   ├── LogChanged                  the audit log is not the one that this user saw before
    │   ├── NotDerivable                a run could be made of the workload in several ways, none of them safe
    │   ├── ErrandFailed                a verb that was to run in a release did not come to its end there
    │   ├── DryRunUnavailable           what cannot be enforced is never called a dry run
    │   ├── ClusterError                the API server of Kubernetes answered something that ends the matter
    │   │   ├── ClusterUnreachable      no answer, an expired certificate, a context that is not there
    │   │   ├── CredentialsRefused
    │   │   ├── NotPermitted            names the verb and the resource
    │   │   ├── ObjectMissing
    │   │   ├── ObjectExists
    │   │   ├── FieldConflict           a field of an object belongs to another manager
    │   │   ├── VersionGone             a watch has to begin again with a list
    │   │   └── LogNotReady             the container has not started yet
    │   └── StoreUnavailable
    │       ├── StoreCorrupted
    │       └── StoreVersionMismatch
    ├── NotCommitted                1   a run that commits once, at its end, could not: nothing of it stayed
    │   └── PartlyCommitted             of several databases the first ones had committed by then
    ├── CommitUnknown               7   the connection was lost in the middle of that commit
    ├── LaunchUnknown               7   the answer was lost, and nobody knows whether the run's Job is there
    ├── SyncIncomplete              1   some schedules were applied, and then one could not be
    ├── CommandFailed               1   a command of a framework ended with words and an exit code of its own
    ├── Interrupted               130   Ctrl-C came while no task was at work in this process
    ├── OutcomeUnrecorded           7   the task has ended, and its outcome is on disk instead of in the store
    ├── EvidenceUnfit               1   a checkpoint kept elsewhere is of another log, or forged
    ├── AnchorFailed                1   a place outside the store did not take a checkpoint
    └── StoreConflict               1   another process changed the record first

    ControlSignal (BaseException)       not errors: a task's ``except Exception`` cannot swallow them
    ├── RunStopped                      the task is made to end: interrupted, cancelled or timed out
    └── DryRunStopped                   a dry run's task tried what the seal holds back

The first line of a class's docstring is its default message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean …?)`` behind a word that nobody knows, where one of those known is like it."""
    from difflib import get_close_matches  # only a mistake needs it

    near = get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class OneoffError(Exception):
    """oneoff could not do what was asked."""

    exit_code: ClassVar[int] = 1
    next_step: str = ""

    def __init__(self, message: str = "", *, next_step: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        if next_step:
            self.next_step = next_step

    @property
    def message(self) -> str:
        return str(self)

    def reword(self, change: Callable[[str], str]) -> None:
        """Change its words in place; its class, exit code and cause stay."""
        self.args = (change(self.message), *self.args[1:])
        if self.next_step:
            self.next_step = change(self.next_step)


class UsageError(OneoffError):
    """The command cannot be understood."""

    exit_code = 2


class TaskNotFound(UsageError):
    """There is no such task."""

    next_step = "`oneoff tasks` lists them"


class RunNotFound(UsageError):
    """There is no such run."""

    next_step = "`oneoff runs` lists them"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one parameter."""

    parameter: str
    message: str
    """What is wrong and what is allowed; holds the value only where the parameter is no secret."""


class InvalidParameters(UsageError):
    """The parameters do not fit the task."""

    def __init__(self, problems: Sequence[Problem], *, next_step: str = "") -> None:
        self.problems = tuple(problems)
        lines = [f"{problem.parameter}: {problem.message}" for problem in self.problems]
        super().__init__("\n".join(lines), next_step=next_step)


class InvalidDeclaration(UsageError):
    """A task is declared in a way that cannot work."""


class InvalidSettings(UsageError):
    """The settings file cannot be used."""


class KeyUnusable(UsageError):
    """The key cannot be used."""


class AppNotFound(UsageError):
    """No app was found."""

    next_step = 'name it with --app MODULE:NAME, ONEOFF_APP, or app = "MODULE:NAME" under [tool.oneoff]'


class ManifestUnfit(UsageError):
    """No run can be made of these Kubernetes objects."""


class Refused(OneoffError):
    """Refused: nothing was run."""

    exit_code = 3


class AppBroken(Refused):
    """The app cannot be imported. The traceback is the app's own, in ``__cause__``."""


class NotConfirmed(Refused):
    """The task wants a confirmation."""


class ReasonRequired(Refused):
    """The environment wants a reason."""


class LockHeld(Refused):
    """Another run holds the task's lock."""


class AlreadyStarted(Refused):
    """A run with this id has started already."""


class CommandNotStarted(Refused):
    """The command could not be started."""


class LogChanged(Refused):
    """The audit log is not the one that was seen before."""

    next_step = (
        "`oneoff audit verify` says what differs; if it was put back on purpose, "
        "`oneoff audit accept --reason '…'` goes on with it"
    )


class NotDerivable(Refused):
    """A run like the workload cannot be made without a choice."""


class ErrandFailed(Refused):
    """The release could not be asked."""


class DryRunUnavailable(Refused):
    """This task cannot be made dry here, and what cannot be enforced is not called a dry run."""


class ClusterError(Refused):
    """The Kubernetes API server refused."""


class ClusterUnreachable(ClusterError):
    """The Kubernetes API server does not answer."""


class CredentialsRefused(ClusterError):
    """The Kubernetes API server does not know this user."""


class NotPermitted(ClusterError):
    """The user may not do this in the cluster."""


class ObjectMissing(ClusterError):
    """There is no such object in the cluster."""


class ObjectExists(ClusterError):
    """An object of this name is in the cluster already."""


class FieldConflict(ClusterError):
    """Another manager owns a field of the object."""


class VersionGone(ClusterError):
    """The cluster remembers no longer what happened since then."""


class LogNotReady(ClusterError):
    """The container has not started yet."""


class StoreUnavailable(Refused):
    """The store cannot be used, and nothing runs unrecorded."""

    next_step = "`oneoff doctor` says what is wrong with it"


class StoreCorrupted(StoreUnavailable):
    """The store is damaged."""


class StoreVersionMismatch(StoreUnavailable):
    """The store was written by another version of oneoff."""


class NotCommitted(OneoffError):
    """Nothing of the run was committed."""


class PartlyCommitted(NotCommitted):
    """Some of the run's databases have committed, and another one could not."""

    next_step = "bring the databases together by hand: no transaction spans them"


class CommitUnknown(OneoffError):
    """Nobody knows whether the run was committed."""

    exit_code = 7


class LaunchUnknown(OneoffError):
    """Nobody knows whether the run was launched."""

    exit_code = 7


class SyncIncomplete(OneoffError):
    """Some schedules were applied, and not all."""


class Interrupted(OneoffError):
    """Ctrl-C came while no task was at work in this process."""

    exit_code = 130


class CommandFailed(OneoffError):
    """The command failed."""

    def __init__(self, message: str = "", *, next_step: str = "", code: int = 1) -> None:
        super().__init__(message, next_step=next_step)
        self.code = code
        """What the command itself would exit with."""


class OutcomeUnrecorded(OneoffError):
    """The task has ended, and the store cannot take its outcome."""

    exit_code = 7

    def __init__(self, message: str = "", *, next_step: str = "", document: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.document = document
        """The run with its outcome, as JSON."""


class EvidenceUnfit(OneoffError):
    """The checkpoint does not vouch for this log."""


class AnchorFailed(OneoffError):
    """An anchor did not take the checkpoint."""


class StoreConflict(OneoffError):
    """Another process changed the record first."""


class ControlSignal(BaseException):
    """Ends a task from outside; derives from BaseException so that only a bare ``except:`` can catch it."""


class RunStopped(ControlSignal):
    """The run has to end now."""


class DryRunStopped(ControlSignal):
    """The dry run stopped the task: it tried something that a dry run cannot let it do.

    The seal or the guard has recorded it among the report's ``attempts`` before it is raised.
    """
