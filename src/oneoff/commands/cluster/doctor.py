"""``doctor --env``: can an environment's cluster be reached, as whom, and what may that user do there?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from oneoff.commands.cluster import errands
from oneoff.commands.cluster.remote import Remote
from oneoff.errors import ClusterError, CredentialsRefused, NotPermitted, OneoffError, Refused, UsageError
from oneoff.kube.api.cluster import NAMESPACES
from oneoff.kube.checks.rights import Right, by_verb, not_given, role
from oneoff.kube.release.workload import parsed
from oneoff.kube.yamltext import dump
from oneoff.protocols import Finding

OLDEST = (1, 30)
"""The first version of Kubernetes that what oneoff makes is held against."""


def examine_environment(connect: Callable[[], Remote]) -> list[Finding]:
    """Look at everything, whatever fails on the way.

    Args:
        connect: reaches the environment.

    Raises:
        UsageError: there is no such environment, or it is not in Kubernetes.
    """
    try:
        remote = connect()
    except ClusterError as error:
        rest = [_unseen(name, "environment") for name in (*list(_PROBES)[1:], "rights", _POD)]
        return [_bad("environment", error), *rest]
    found: dict[str, Finding] = {}
    for name, (look, needs) in _PROBES.items():
        bad = [need for need in needs if not found[need].ok]
        found[name] = _unseen(name, bad[0]) if bad else _look(name, look, remote)
    bad = [need for need in _RIGHTS_NEED if not found[need].ok]
    if bad:
        return [*found.values(), _unseen("rights", bad[0]), _unseen(_POD, bad[0])]
    rights = _rights(remote)
    told = [*found.values(), *rights]
    bad = [one.name for one in told if one.name in _POD_NEEDS and not one.ok]
    return [*told, *([_unseen(_POD, bad[0])] if bad else _in_a_pod(remote))]


def _look(name: str, look: Callable[[Remote], Finding], remote: Remote) -> Finding:
    try:
        return look(remote)
    except OneoffError as error:
        return _bad(name, error)


def _bad(name: str, error: OneoffError) -> Finding:
    return Finding(name=name, ok=False, message=error.message, next_step=error.next_step)


def _unseen(name: str, need: str) -> Finding:
    return Finding(name=name, ok=False, message=f"not looked at: needs the {need}")


def _environment(remote: Remote) -> Finding:
    named, cluster = remote.environment, remote.cluster
    _kind(remote)
    workload = remote.where.workload or "the only workload"
    protected = ", protected" if named.protected else ""
    message = f"{named.name}{protected}: {workload} in {cluster.namespace}, context {cluster.context}"
    return Finding(name="environment", ok=True, message=message)


def _kind(remote: Remote) -> str | None:
    """Of the workload. Raises ManifestUnfit where it is none."""
    return parsed(remote.where.workload)[0] if remote.where.workload else None


def _version(remote: Remote) -> Finding:
    try:
        major, minor = remote.cluster.version()
    except CredentialsRefused:  # that is told of the user
        return Finding(name="cluster", ok=True, message="it answers")
    message = f"Kubernetes {major}.{minor}"
    if (major, minor) >= OLDEST:
        return Finding(name="cluster", ok=True, message=message)
    oldest = ".".join(map(str, OLDEST))
    step = f"oneoff is tried with {oldest} and later: try a run that does no harm first"
    return Finding(name="cluster", ok=True, message=message, next_step=step)


def _caller(remote: Remote) -> Finding:
    groups = f" ({', '.join(remote.caller.groups)})" if remote.caller.groups else ""
    return Finding(name="user", ok=True, message=f"{remote.caller.name}{groups}")


def _namespace(remote: Remote) -> Finding:
    name = remote.cluster.namespace
    try:
        found = remote.cluster.get(NAMESPACES, name)
    except NotPermitted as error:
        return Finding(name="namespace", ok=True, message=f"not looked at: {error.message}")
    if (found.get("status") or {}).get("phase") == "Terminating":
        raise ClusterError(
            f"{name} is being deleted, and takes nothing new",
            next_step=f"`kubectl get namespace {name} -o yaml` says what it waits for",
        )
    return Finding(name="namespace", ok=True, message=name)


def _rights(remote: Remote) -> list[Finding]:
    """A finding for each thing that is done in a cluster, and a Role that gives what is missing."""
    findings, missing = list[Finding](), list[Right]()
    for name, rights in by_verb(_kind(remote)).items():
        try:
            lacking = not_given(remote.cluster, rights)
        except ClusterError as error:
            return [*findings, _bad(name, error)]
        findings.append(_of_verb(name, rights, lacking))
        missing += lacking
    return [*findings, *([_role(remote, missing)] if missing else [])]


def _in_a_pod(remote: Remote) -> list[Finding]:
    """What doctor finds in a pod of the release: whether the store can be reached from there, above all."""
    try:
        answer = errands.run(remote, ["doctor", "-o", "json"])
        findings = [Finding(**one) for one in json.loads(answer.stdout)]
    except (Refused, UsageError) as error:
        return [_bad(_POD, error)]
    except (TypeError, ValueError):
        said = answer.stderr.decode(errors="replace").strip()
        return [Finding(name=_POD, ok=False, message=f"doctor did not answer there: {said}")]
    return [replace(one, name=f"{_POD} {one.name}") for one in findings]


def _of_verb(name: str, rights: Sequence[Right], lacking: Sequence[Right]) -> Finding:
    if not lacking:
        return Finding(name=name, ok=True, message=f"you may {_listed(rights)}")
    purposes = ", nor ".join(dict.fromkeys(right.purpose for right in lacking))
    harmless = not any(right.needed for right in lacking)
    message = f"you may not {_listed(lacking)}, and so cannot {purposes}"
    return Finding(name=name, ok=harmless, message=message)


def _listed(rights: Sequence[Right]) -> str:
    """``get/list jobs.batch, list pods``."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(right.what, []).append(right.verb)
    return ", ".join(f"{'/'.join(those)} {what}" for what, those in verbs.items())


def _role(remote: Remote, missing: Sequence[Right]) -> Finding:
    made = role(remote.cluster.namespace, remote.actor, missing)
    return Finding(
        name="role",
        ok=True,
        message="what you may not do, for `kubectl apply -f -` by whoever may grant it",
        next_step=dump([made]),
    )


_PROBES: dict[str, tuple[Callable[[Remote], Finding], tuple[str, ...]]] = {
    "environment": (_environment, ()),
    "cluster": (_version, ()),
    "user": (_caller, ("cluster",)),
    "namespace": (_namespace, ("cluster", "user")),
}
"""What is looked at, and without which findings it cannot be: each fault is told once."""
_POD = "in a pod"
_POD_NEEDS = frozenset({"namespace", "launch", "follow"})
_RIGHTS_NEED = ("environment", "cluster", "user")
