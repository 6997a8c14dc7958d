"""Which release of a workload a run is of: what serves, if that is what is asked for, or what was chosen."""

from __future__ import annotations

from typing import Literal

from oneoff.errors import NotDerivable
from oneoff.kube.release.standing import Revision, Standing, problem_of

Release = Literal["running", "target"]
"""``running``: what serves; ``target``: what the workload asks for. In a rollout they differ."""


def choose(where: str, now: Standing, release: Release | None) -> Revision:
    """The revision that a run is made of.

    Args:
        where: The workload as messages name it.
        release: None where nobody chose: then what serves has to be what is asked for.

    Raises:
        NotDerivable: it is not, or nothing can be called running.
    """
    if release == "target" or (not now.trouble and release is None):
        return now.target
    if release is None:
        raise NotDerivable(f"{where} {now.trouble}: {_listed(now)}", next_step=_choice(now))
    if not now.trouble:
        return now.target
    if len(now.serving) == 1:
        return now.serving[0]
    serve = "no revision of it has an available pod" if not now.serving else "several revisions of it serve"
    raise NotDerivable(
        f"{where} {now.trouble}, and {serve}: {_listed(now)}",
        next_step=f"wait until the rollout has ended, or take {now.target.title}: --release target",
    )


def _listed(now: Standing) -> str:
    return "; ".join(_told(one) for one in (now.target, *now.others))


def _told(revision: Revision) -> str:
    images = ", ".join(sorted({str(one.get("image")) for one in revision.template["spec"]["containers"]}))
    count = len(revision.pods)
    pods = f"{revision.available} of {count} pod{'' if count == 1 else 's'} available" if count else "no pod"
    problem = next(filter(None, map(problem_of, revision.pods)), "")
    return f"{revision.title} ({images}) has {pods}" + (f" ({problem})" if problem else "")


def _choice(now: Standing) -> str:
    target = f"--release target takes {now.target.title}"
    if len(now.serving) == 1:
        return (
            f"wait until that has ended, or choose: --release running takes {now.serving[0].title}, {target}"
        )
    return f"wait until that has ended, or choose: {target}; none alone can be called the running one"
