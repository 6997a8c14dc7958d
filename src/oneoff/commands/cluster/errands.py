"""Errands: a verb of oneoff that runs in a short Job of the live release, where the app and its store are.

Nothing of an answer is given before all of it is there, and the Job is deleted once it was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from oneoff.audit.witness import Sighting, evident
from oneoff.commands.cluster.creating import create
from oneoff.commands.cluster.releases import serving
from oneoff.commands.cluster.remote import Remote
from oneoff.errors import (
    ClusterError,
    ErrandFailed,
    NotDerivable,
    NotPermitted,
    ObjectMissing,
)
from oneoff.kube.api.cluster import JOBS, SERVICES
from oneoff.kube.derivation.errand import Errand, errand_job
from oneoff.kube.following import frames
from oneoff.kube.following.follow import PACE, follow
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.objects import Object, metadata, name_of
from oneoff.kube.release.live import Live
from oneoff.kube.selectors import counted_by
from oneoff.types import new_run_id

_SHOWN: Final = 20
"""Lines of what a pod has printed that an error shows."""
_NOT_FOUND: Final = frozenset({126, 127, 128})
"""Exit codes of a shell and of a container's runtime for a program that is not there, or is none."""
_KILLED: Final = 128
"""From here on an exit code is that of a process which was killed: what it has printed may be half of it."""
_NO_ONEOFF: Final = (
    "is oneoff in the image? if it is started otherwise there, say so by program; where it is not, its tasks "
    "are commands with runner = false"
)


@dataclass(frozen=True)
class Answer:
    """What the verb has printed, whole, and how it ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int


def run(
    remote: Remote,
    argv: Sequence[str],
    *,
    live: Live | None = None,
    needs_store: bool = True,
    accepts: bool = False,
    within: timedelta | None = None,
) -> Answer:
    """Run ``oneoff ARGV`` in the release.

    The audit log is held against what this user saw of it before, and what was seen now is remembered.

    Args:
        live: The release; the one that serves where None.
        needs_store: Whether the verb opens the store.
        accepts: Whether what is seen takes the place of what was seen before, whatever that was.
        within: How long it may take, its start counted; None for as long as one may.

    Raises:
        ErrandFailed: it did not come to its end, with the reason that the cluster or the pod gives.
        NotDerivable, ManifestUnfit, ClusterError: no Job of the release could be made.
    """
    live = live or serving(remote)
    _ = remote.known  # as it was before this errand
    seen = remote.witness.recall() if remote.witness and needs_store else None
    errand = Errand(
        id=new_run_id(remote.clock.now()),
        argv=tuple(argv),
        environment=remote.environment.name,
        actor=remote.actor,
        actor_kind=remote.actor_kind,
        needs_store=needs_store,
        seen=seen.line() if seen else "-",
    )
    wanted, container = errand_job(live, remote.where, errand)
    _check_traffic(remote, wanted)
    log, verdict = _carried_out(remote, wanted, container, within)
    framed = frames.read(log)
    if framed.exit_code is None or framed.exit_code >= _KILLED:
        raise _failed(remote, framed, verdict)
    sighting = Sighting.read(framed.note)
    if remote.witness and needs_store and sighting is not None:
        accepted = accepts and framed.exit_code == 0
        said = seen is not None and evident(seen, sighting)  # by the pod, which had it
        if accepted or said or not remote.differs(sighting):
            remote.witness.remember(sighting, instead=accepted)
        if accepted and remote.told is not None:
            remote.told.remember(sighting, instead=True)
    return Answer(framed.stdout, framed.stderr, framed.exit_code)


def _carried_out(
    remote: Remote, wanted: Object, container: str, within: timedelta | None
) -> tuple[bytes, Verdict]:
    """The log of the Job, and how it ended; it is gone then, however this goes."""
    job: Object | None = None
    log: list[bytes] = []
    try:
        job, _ = create(remote.cluster, wanted)
        verdict = follow(
            remote.cluster,
            job,
            container=container,
            start_within=min(within or remote.where.start_within, remote.where.start_within),
            write=log.append,
            say=remote.say,
            pace=replace(PACE, longest=within.total_seconds()) if within else PACE,
        )
    except KeyboardInterrupt:
        if job is None:  # or is it there already?
            with suppress(ClusterError):
                job = remote.cluster.get(JOBS, name_of(wanted))
        raise
    finally:
        if job is not None:
            with suppress(ClusterError):  # then it goes by itself, some minutes after its end
                remote.cluster.delete(JOBS, name_of(job), uid=str(metadata(job)["uid"]))
    return b"".join(log), verdict


def _check_traffic(remote: Remote, wanted: Object) -> None:
    """A pod that serves nothing and is sent requests would make an outage of a question."""
    try:
        services = remote.cluster.list(SERVICES).items
    except (NotPermitted, ObjectMissing):
        return
    labels = metadata(wanted["spec"]["template"])["labels"]
    found = counted_by(services, labels)
    if found:
        raise NotDerivable(
            f"{' and '.join(found)} would send requests to the errand's pod, by its labels",
            next_step="take from network_labels what they select by",
        )


def _failed(remote: Remote, framed: frames.Framed, verdict: Verdict) -> ErrandFailed:
    """Why there is no answer, and what to do."""
    place = f"the release in {remote.environment.name}"
    why = ": ".join(filter(None, [verdict.reason, verdict.message])) or f"it is {verdict.status}"
    if framed.begun:
        if verdict.exit_code is not None and verdict.exit_code < _KILLED and not verdict.reason:
            return ErrandFailed(
                f"the answer of {place} did not come whole: its log was cut",
                next_step="ask for less, by --since or --limit; a node keeps some MiB of a log",
            )
        return told(f"{place} did not answer to the end: {why}", framed.stderr)
    if verdict.exit_code in _NOT_FOUND:
        return told(f"{place} could not be asked: {why}", framed.stderr, _NO_ONEOFF)
    if b"--framed" in framed.stderr:
        return told(
            f"{place} has an older oneoff, which knows no errands",
            framed.stderr,
            "bring its oneoff up to date",
        )
    return told(f"{place} could not be asked: {why}", framed.stderr)


def told(what: str, stderr: bytes, next_step: str = "") -> ErrandFailed:
    """With what the pod has said: its oneoff's own error with its next step, or the end of what there is."""
    lines = stderr.decode(errors="replace").splitlines()
    said = [line for line in lines if line.strip()]
    steps = [line.removeprefix("next:").strip() for line in said if line.startswith("next:")]
    told = [line for line in said if not line.startswith("next:")][-_SHOWN:]
    shown = "".join(f"\n{line}" for line in told if line.strip() not in what)
    return ErrandFailed(f"{what}{shown}", next_step=steps[-1] if steps else next_step)
