"""What a cluster refuses although the object is good: namespaces that end, quotas, missing accounts."""

from __future__ import annotations

from tests.kubernetes import answers
from tests.kubernetes.defaults import all_containers
from tests.kubernetes.kinds import Key, Kind, Object
from tests.kubernetes.storage import Storage

_COUNTED = {"Pod": ("pods", "count/pods"), "Job": ("count/jobs.batch",), "CronJob": ("count/cronjobs.batch",)}
_COMPUTE = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")


def check_namespace(storage: Storage, kind: Kind, namespace: str, meta: Object) -> None:
    """Refused where the namespace is another one, is missing, or is being deleted."""
    if meta.get("namespace") not in (None, "", namespace):
        raise answers.bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request "
            f"({meta['namespace']} != {namespace})"
        )
    found = storage.get(Key("", "namespaces", "", namespace))
    if found is None:
        raise answers.not_found(storage.kinds.named("Namespace"), namespace)
    if found["status"]["phase"] == "Terminating":
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise answers.not_permitted(kind, meta.get("name") or meta.get("generateName", ""), why, [cause])


def check(storage: Storage, kind: Kind, obj: Object) -> None:
    """Refused with 403 by a quota, or for a service account that does not exist."""
    name = obj["metadata"]["name"]
    if kind.kind == "Pod":
        _check_account(storage, kind, obj)
    for quota in storage.items("", "resourcequotas", obj["metadata"].get("namespace", "")):
        for why in _breaches(storage, kind, obj, quota):
            raise answers.not_permitted(kind, name, why)


def _check_account(storage: Storage, kind: Kind, pod: Object) -> None:
    namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    if storage.get(Key("", "serviceaccounts", namespace, account)) is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise answers.not_permitted(kind, pod["metadata"]["name"], why)


def _breaches(storage: Storage, kind: Kind, obj: Object, quota: Object) -> list[str]:
    """Why a quota forbids an object: at most one reason."""
    hard, name = quota["spec"].get("hard") or {}, quota["metadata"]["name"]
    if kind.kind == "Pod":
        for limit in _COMPUTE:
            section, _, resource = limit.partition(".")
            lacking = [
                each["name"]
                for each in all_containers(obj["spec"])
                if resource not in each["resources"].get(section, {})
            ]
            if limit in hard and lacking:
                return [f"failed quota: {name}: must specify {limit} for: {','.join(lacking)}"]
    for limit in _COUNTED.get(kind.kind, ()):
        if limit not in hard:
            continue
        used = len(
            [
                each
                for each in storage.items(kind.group, kind.plural, obj["metadata"]["namespace"])
                if (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ]
        )
        if used + 1 > int(hard[limit]):
            counts = f"requested: {limit}=1, used: {limit}={used}, limited: {limit}={hard[limit]}"
            return [f"exceeded quota: {name}, {counts}"]
    return []
