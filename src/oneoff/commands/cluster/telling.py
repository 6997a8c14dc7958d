"""Tells an environment's store how a run ended whose pod could not record it, by an errand.

A pod that is out of memory, or killed after its grace, leaves a record that says it is running. Its Job knows
better, and so does whoever has followed that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from oneoff.commands.cluster import errands
from oneoff.commands.cluster.launch import LONGEST_WORD, ended
from oneoff.commands.cluster.remote import Remote
from oneoff.commands.endings import Ending, Recorded
from oneoff.errors import ErrandFailed, OneoffError
from oneoff.kube.derivation.jobs import RESULT
from oneoff.kube.following.verdict import Verdict
from oneoff.kube.objects import Object, annotations_of, metadata, name_of
from oneoff.kube.record import ended_at, started_at
from oneoff.runs.run import Run

SOON: Final = timedelta(seconds=30)
"""How long the errand may take where somebody waits: what kept a run from starting may keep its pod, too."""
_TOGETHER: Final = 256 * 1024
"""Characters of endings that one errand takes: its Job is an object of limited size."""


@dataclass(frozen=True)
class Cancelling:
    """What whoever cancels a run tells of that, where the run could not be asked through its store."""

    reason: str | None


def settled(
    remote: Remote, job: Object, run: Run, found: Verdict, *, cancelling: Cancelling | None = None
) -> Run:
    """The run as it ended: by its own words, else as its store has it once it was told.

    Where the store cannot be told, that is said, and the run is as the cluster has it.
    """
    as_seen = ended(run, found, remote.clock.now())
    if not found.ended or is_bare(job) or (found.words is not None and cancelling is None):
        return as_seen
    try:
        (recorded,) = tell(remote, [ending(job, as_seen, found, cancelling=cancelling)], within=SOON)
    except (OneoffError, KeyboardInterrupt) as error:
        why = error.message.partition("\n")[0] if isinstance(error, OneoffError) else "interrupted"
        remote.say(f"the store was not told how run {run.id} ended: {why}")
        return as_seen
    if recorded.run.active:
        remote.say(f"run {run.id} stays {recorded.run.status} in the store: its pod was not seen to end")
    return as_seen if recorded.run.active else recorded.run


def ending(job: Object, run: Run, found: Verdict, *, cancelling: Cancelling | None = None) -> Ending:
    """How a run ended, for whichever store has its record.

    Args:
        run: As it stands by the verdict.
    """
    leased = f"its Job tells: {name_of(job)}, uid {metadata(job).get('uid')}"
    evidence = of_job(job) if is_bare(job) else leased
    return Ending(
        run=replace(run, started_at=started_at(job), ended_at=ended_at(job) or run.ended_at),
        evidence=f"{evidence}: {found.reason}" if found.reason else evidence,
        started=found.started or is_bare(job),
        seen_to_end=found.seen_to_end,
        cancelled=cancelling is not None,
        reason=cancelling.reason if cancelling else None,
    )


def of_job(job: Object) -> str:
    """What the outcome of a bare command rests on."""
    return f"watched from outside, without a lease: Job {name_of(job)}, uid {metadata(job).get('uid')}"


def is_bare(job: Object) -> bool:
    """Whether it runs without oneoff, and so without a store."""
    return RESULT not in annotations_of(job)


def tell(remote: Remote, endings: Sequence[Ending], *, within: timedelta | None = None) -> list[Recorded]:
    """What has become of them in the environment's store.

    Raises:
        ErrandFailed, NotDerivable, ClusterError: it could not be told.
    """
    recorded = []
    for batch in _batches([_text(one) for one in endings]):
        answer = errands.run(remote, ["settle", *batch], within=within)
        if answer.exit_code != 0:
            where = remote.environment.name
            raise errands.told(f"the release in {where} does not record it", answer.stderr)
        try:
            recorded += [Recorded.of(document) for document in json.loads(answer.stdout)]
        except (KeyError, TypeError, ValueError) as error:
            raise ErrandFailed(f"what the errand answered cannot be read: {error!r}") from error
    return recorded


def _text(one: Ending) -> str:
    text = json.dumps(one.document(), separators=(",", ":"))
    if len(text) <= LONGEST_WORD:
        return text
    shorter = replace(one.run, parameters={}, command=None)  # the Job has them, and a record of its own has
    return json.dumps(replace(one, run=shorter).document(), separators=(",", ":"))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        if batch and sum(map(len, batch)) + len(text) > _TOGETHER:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
