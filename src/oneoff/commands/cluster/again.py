"""An earlier run of an environment in Kubernetes, as its own store has it."""

from __future__ import annotations

import json

from oneoff.commands.cluster import errands
from oneoff.commands.cluster.remote import Remote
from oneoff.errors import RunNotFound
from oneoff.kube.release.live import Live
from oneoff.runs.document import from_document
from oneoff.runs.run import Run


def earlier_run(remote: Remote, live: Live, reference: str) -> Run:
    """The run that is to be repeated.

    Raises:
        RunNotFound: there is none in the environment's store.
        ErrandFailed, NotDerivable, ClusterError: the release could not be asked.
    """
    answer = errands.run(remote, ["show", reference, "-o", "json"], live=live)
    document = json.loads(answer.stdout) if answer.exit_code == 0 else {}
    if "status" not in document:  # a task of that name is no run
        raise RunNotFound(
            f"there is no run {reference!r} in {remote.environment.name}",
            next_step=f"`oneoff runs --env {remote.environment.name}` lists them",
        )
    return from_document(document)
