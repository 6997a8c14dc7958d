"""What the release's own settings demand of a run: they judge it in its pod, and may not be those here."""

from __future__ import annotations

import json
from dataclasses import replace

from oneoff.commands.cluster import errands
from oneoff.commands.cluster.remote import Remote
from oneoff.errors import NotDerivable, NotPermitted
from oneoff.kube.release.live import Live


def under_release(remote: Remote, live: Live) -> tuple[Remote, list[str]]:
    """The environment with what the release demands there as well, and what there is to say of it.

    Raises:
        NotDerivable: the release has no such environment, and would refuse each run of it.
        ErrandFailed: it could not be asked.
    """
    here, name = remote.environment, remote.environment.name
    unknown = f"what the release's own settings demand of a run in {name} is not known"
    try:
        answer = errands.run(remote, ["release", "-o", "json"], live=live, needs_store=False)
    except NotPermitted as error:
        return remote, [f"{unknown}: {error.message}"]
    known = json.loads(answer.stdout).get("environments") if answer.exit_code == 0 else None
    if known is None:  # an older oneoff
        return remote, [unknown]
    if name not in known:
        raise NotDerivable(
            f"the settings of the release have no environment {name}: it would refuse each run there",
            next_step=f"put [tool.oneoff.environments.{name}] into the image, as it is here",
        )
    there = known[name]
    notes = []
    if there["protected"] and not here.protected:
        notes.append(f"{name} is protected by the settings of the release, though not by those here")
    if there["reason"] not in (None, here.reason):
        notes.append(f"the settings of the release want a reason in {name} that matches {there['reason']!r}")
    demanded = replace(
        here, protected=here.protected or there["protected"], reason=_both(here.reason, there["reason"])
    )
    return replace(remote, environment=demanded), notes


def _both(one: str | None, other: str | None) -> str | None:
    """A pattern of what fits both."""
    if None in (one, other) or one == other:
        return one or other
    return rf"(?=(?:{one})\Z)(?:{other})"
