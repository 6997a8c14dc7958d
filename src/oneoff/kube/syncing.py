"""What a sync finds of the CronJobs in a namespace: which are its own, who applied them, how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from difflib import unified_diff
from typing import Any, Final

from oneoff.kube.api.cluster import MANAGER
from oneoff.kube.derivation.derive import MANAGED
from oneoff.kube.derivation.jobs import ENVIRONMENT, INTENT, PREFIX, WORKLOAD
from oneoff.kube.objects import Object, annotations_of, canonical, metadata, name_of
from oneoff.kube.yamltext import dump

SYNCED: Final = f"{PREFIX}synced"
"""The :class:`Stamp` of a CronJob and of its Jobs, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Who applied a schedule, and so confirmed each of its runs. It stays as long as the schedule does.

    So do the words in which only the one who applied it names things: a later one's are no difference.
    """

    by: str
    kind: str
    """Of that actor: human or ci."""
    at: str
    confirmation: str | None
    """How it was confirmed."""
    reason: str | None
    context: str
    """The cluster, by its name in that one's kubeconfig."""
    revision: str
    """Of the workload at that time."""

    @property
    def text(self) -> str:
        return canonical(asdict(self))


def stamp_of(thing: Object) -> Stamp | None:
    """Whose sync a CronJob or one of its Jobs is of; None where nobody's, or it cannot be read."""
    try:
        return Stamp(**json.loads(annotations_of(thing)[SYNCED]))
    except (KeyError, TypeError, ValueError):
        return None


def workload_of(cronjob: Object, environment: str) -> str | None:
    """The workload of this environment that oneoff made it for; None where it is another's."""
    annotations = annotations_of(cronjob)
    ours = _managed(cronjob) and annotations.get(ENVIRONMENT) == environment
    return annotations.get(WORKLOAD) if ours else None


def was_synced(cronjob: Object) -> bool:
    """Whether a sync made it; what `kube render` made is whoever's who applied that."""
    return any(_synced(one) for one in _managers(cronjob))


def whose(cronjob: Object) -> str:
    """Whom it belongs to, in words: another workload or environment, or whoever has set its fields."""
    annotations = annotations_of(cronjob)
    if _managed(cronjob) and ENVIRONMENT in annotations:
        return f"belongs to {annotations.get(WORKLOAD)} of the environment {annotations[ENVIRONMENT]}"
    return made_by(cronjob)


def made_by(cronjob: Object) -> str:
    """Who has set its fields, in words; ``kubectl apply`` calls itself kubectl-client-side-apply, for one."""
    names = dict.fromkeys(str(one.get("manager")) for one in _managers(cronjob) if not one.get("subresource"))
    return f"was made by {', '.join(names) or 'somebody else'}"


def added(there: Object, wanted: Object) -> list[str]:
    """What others have put into the pods of a CronJob, and an apply would leave: ``….env[DEBUG] (kubectl)``.

    With it the run would not be the app, and two containers would be one run.
    """
    return [
        f"{path} ({one.get('manager')})"
        for one in _managers(there)
        if not _synced(one) and not one.get("subresource")
        for path in _more((one.get("fieldsV1") or {}).get("f:spec") or {}, wanted["spec"], "spec")
    ]


def _more(owned: Mapping[str, Any], wanted: Any, path: str) -> Iterator[str]:
    """The items of lists that are owned and not wanted; ``fieldsV1`` has them as ``k:{"name":"DEBUG"}``."""
    for step, below in owned.items():
        kind, _, rest = step.partition(":")
        if kind == "f":
            inner = wanted.get(rest) if isinstance(wanted, dict) else None
            yield from _more(below, inner, f"{path}.{rest}")
        elif kind == "k":
            keys = json.loads(rest)
            items = wanted if isinstance(wanted, list) else []
            same = next((item for item in items if keys.items() <= item.items()), None)
            place = f"{path}[{','.join(map(str, keys.values()))}]"
            if same is None:
                yield place
            else:
                yield from _more(below, same, place)


def same(one: Object, other: Object) -> bool:
    """Whether nothing that is applied differs; what the server counts and notes does not matter."""
    return _applied(one) == _applied(other)


def difference(there: Object, then: Object) -> str:
    """A unified difference of a CronJob as it is and as it would be; keys are sorted.

    What oneoff notes on its objects follows from the rest, and is shown only where nothing else differs.
    """
    for notes in (False, True):
        before, after = (
            dump([_readable(one, notes=notes)], ordered=True).splitlines(True) for one in (there, then)
        )
        name = f"cronjob/{name_of(then)}"
        found = "".join(unified_diff(before, after, f"{name} in the cluster", name))
        if found:
            break
    return found


def _applied(thing: Object) -> Object:
    """All that an apply may set."""
    head = {key: metadata(thing).get(key) or {} for key in ("labels", "annotations")}
    rest = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": head}


def _readable(cronjob: Object, *, notes: bool) -> Object:
    """What is applied, with the launcher's words by their names."""
    found = deepcopy(_applied(cronjob))
    template = (found.get("spec") or {}).get("jobTemplate") or {}
    pod = metadata((template.get("spec") or {}).get("template") or {})
    for head in (found["metadata"], metadata(template), pod):
        annotations = head.get("annotations") or {}
        for key in [key for key in annotations if key.startswith(PREFIX)]:
            if not notes:
                del annotations[key]
            elif key in (INTENT, SYNCED):
                annotations[key] = _parsed(annotations[key])
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _managed(thing: Object) -> bool:
    return MANAGED.items() <= (metadata(thing).get("labels") or {}).items()


def _managers(thing: Object) -> list[Object]:
    return metadata(thing).get("managedFields") or []


def _synced(entry: Object) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
