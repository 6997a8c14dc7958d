"""What a server refuses: the rules of names, Jobs and CronJobs, and the published schemas."""

from __future__ import annotations

import functools
import json
import re
import zoneinfo
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from kubernetes_validate import utils
from referencing import Registry, Resource

from oneoff.kube.checks.quantities import quantity
from tests.kubernetes import answers
from tests.kubernetes.answers import Problem, required
from tests.kubernetes.defaults import all_containers
from tests.kubernetes.kinds import Kind, Object

SCHEMA_VERSION = "1.36"
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_VARIABLE = re.compile(r"^[ -<>-~]+$")
"""Since 1.34; before, it was a name as C has them, with dots and dashes."""
_LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character"
)
_DNS_RULE = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
_VARIABLE_RULE = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_ANNOTATIONS = 256 * 1024
"""Bytes of all keys and values together."""
_OF_A_POD = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_FIELDS_OF_A_POD = (
    *("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
"""What a variable may be of a pod, besides one label or annotation."""
_LONGEST_NAME = {"Job": 63, "CronJob": 52, "Namespace": 63, "Service": 63}
_CRON_FIELDS = (
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
)
_WEEKDAYS = "sun mon tue wed thu fri sat"
_DESCRIPTORS = {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}


def _wrong(field: str, value: object, why: str) -> Problem:
    return field, f"Invalid value: {json.dumps(value, separators=(',', ':'))}: {why}", "FieldValueInvalid"


def _name(kind: Kind, name: str) -> Iterator[Problem]:
    longest = _LONGEST_NAME.get(kind.kind, 253)
    if len(name) > longest:
        yield _wrong("metadata.name", name, f"must be no more than {longest} characters")
    if not _NAME.match(name):
        yield _wrong("metadata.name", name, _NAME_RULE)


def warning(kind: Kind, obj: Object) -> str:
    """What the server warns of in an object that it takes; empty where it does not."""
    if kind.kind != "Job" or "." not in obj["metadata"].get("name", ""):
        return ""
    return (
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
        "a DNS label is recommended: [must not contain dots]"
    )


def _metadata(meta: Object, at: str) -> Iterator[Problem]:
    for key, value in (meta.get("labels") or {}).items():
        if not _KEY.match(key):
            yield _wrong(f"{at}.labels", key, "name part must consist of alphanumeric characters")
        if len(value) > 63:
            yield _wrong(f"{at}.labels", value, "must be no more than 63 bytes")
        elif not _LABEL_VALUE.match(value):
            yield _wrong(f"{at}.labels", value, _LABEL_RULE)
    annotations = meta.get("annotations") or {}
    for key in annotations:
        if not _KEY.match(key.lower()):
            yield _wrong(f"{at}.annotations", key, "name part must consist of alphanumeric characters")
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS:
        yield f"{at}.annotations", f"Too long: may not be more than {_ANNOTATIONS} bytes", "FieldValueTooLong"


def _pod_spec(spec: Object, at: str) -> Iterator[Problem]:
    if not spec.get("containers"):
        yield required(f"{at}.containers")
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    yield from _unique(volumes, f"{at}.volumes", "name")
    yield from _unique([one.get("name", "") for one in all_containers(spec)], f"{at}.containers", "name")
    for number, volume in enumerate(spec.get("volumes") or []):
        sources = [each for each, value in volume.items() if each != "name" and value is not None]
        if len(sources) > 1:
            why = "Forbidden: may not specify more than 1 volume type"
            yield f"{at}.volumes[{number}].{sources[1]}", why, "FieldValueForbidden"
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or []):
            yield from _container(container, set(volumes), f"{at}.{kind}[{number}]")


def _unique(names: list[str], at: str, field: str) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if not _LABEL.match(name):
            yield _wrong(f"{at}[{number}].{field}", name, _DNS_RULE)
        if name in names[:number]:
            yield f"{at}[{number}].{field}", f'Duplicate value: "{name}"', "FieldValueDuplicate"


def _container(container: Object, volumes: set[str], at: str) -> Iterator[Problem]:
    for needed in ("name", "image"):
        if not container.get(needed):
            yield required(f"{at}.{needed}")
    for number, variable in enumerate(container.get("env") or []):
        yield from _variable(variable, f"{at}.env[{number}]")
    paths: list[str] = []
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if mount["name"] not in volumes:
            where = f"{at}.volumeMounts[{number}].name"
            yield where, f'Not found: "{mount["name"]}"', "FieldValueNotFound"
        if mount["mountPath"] in paths:
            yield _wrong(f"{at}.volumeMounts[{number}].mountPath", mount["mountPath"], "must be unique")
        paths.append(mount["mountPath"])
    resources = container.get("resources") or {}
    for name, most in (resources.get("limits") or {}).items():
        wanted = (resources.get("requests") or {}).get(name)
        if wanted is not None and quantity(wanted) > quantity(most):
            why = f"must be less than or equal to {name} limit of {most}"
            yield _wrong(f"{at}.resources.requests", wanted, why)


def _variable(variable: Object, at: str) -> Iterator[Problem]:
    if not _VARIABLE.match(variable.get("name") or ""):
        yield _wrong(f"{at}.name", variable.get("name"), _VARIABLE_RULE)
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield _wrong(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
    if len(source) != 1:
        yield _wrong(f"{at}.valueFrom", "", "must specify exactly one source")
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path is not None and path not in _FIELDS_OF_A_POD and not _OF_A_POD.match(path):
        supported = ", ".join(f'"{one}"' for one in _FIELDS_OF_A_POD)
        why = f'Unsupported value: "{path}": supported values: {supported}'
        yield f"{at}.valueFrom.fieldRef.fieldPath", why, "FieldValueNotSupported"


def _job_spec(spec: Object, at: str) -> Iterator[Problem]:
    template = spec["template"]["spec"]
    yield from _metadata(spec["template"].get("metadata") or {}, f"{at}.template.metadata")
    yield from _pod_spec(template, f"{at}.template.spec")
    for field in (
        "backoffLimit",
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ):
        if (spec.get(field) or 0) < 0:
            yield _wrong(f"{at}.{field}", spec[field], "must be greater than or equal to 0")
    if template.get("restartPolicy") == "Always":
        yield required(f"{at}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    if not spec.get("podFailurePolicy"):
        return
    if template.get("restartPolicy") != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield _wrong(f"{at}.template.spec.restartPolicy", template.get("restartPolicy"), why)
    if spec.get("podReplacementPolicy", "Failed") != "Failed":
        why = f'Unsupported value: "{spec["podReplacementPolicy"]}": supported values: "Failed"'
        yield f"{at}.podReplacementPolicy", why, "FieldValueNotSupported"
    for number, rule in enumerate(spec["podFailurePolicy"]["rules"]):
        codes = rule.get("onExitCodes")
        if not codes:
            continue
        where = f"{at}.podFailurePolicy.rules[{number}].onExitCodes"
        if codes["operator"] == "In" and 0 in codes["values"]:
            yield _wrong(f"{where}.values[0]", 0, "must not be 0 for the In operator")
        if codes["values"] != sorted(codes["values"]):
            yield _wrong(f"{where}.values", codes["values"], "must be ordered")
        named = codes.get("containerName")
        if named is not None and named not in {one.get("name") for one in all_containers(template)}:
            why = "must be one of the container or initContainer names in the pod template"
            yield _wrong(f"{where}.containerName", named, why)


def _job(job: Object) -> Iterator[Problem]:
    yield from _job_spec(job["spec"], "spec")


def _cronjob(obj: Object) -> Iterator[Problem]:
    spec = obj["spec"]
    yield from _job_spec(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    elif "TZ=" in schedule:
        why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield _wrong("spec.schedule", schedule, why)
    elif problem := cron_problem(schedule):
        yield _wrong("spec.schedule", schedule, problem)
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if (spec.get(field) or 0) < 0:
            yield _wrong(f"spec.{field}", spec[field], "must be greater than or equal to 0")
    yield from _metadata(spec["jobTemplate"].get("metadata") or {}, "spec.jobTemplate.metadata")
    zone = spec.get("timeZone")
    if zone is not None and zone not in zoneinfo.available_timezones():
        yield _wrong("spec.timeZone", zone, f"unknown time zone {zone}")


def _pod(obj: Object) -> Iterator[Problem]:
    yield from _pod_spec(obj["spec"], "spec")


_RULES = {"Job": _job, "CronJob": _cronjob, "Pod": _pod}


_NOT_PLAYED = ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy", "managedBy")


def _check_played(job: Object) -> None:
    """Refused with 501 for what the Job controller here would do otherwise than a real one."""
    for field in _NOT_PLAYED:
        if field in job:
            raise answers.not_played(field)
    if job["template"]["spec"].get("restartPolicy") == "OnFailure":
        raise answers.not_played("restartPolicy OnFailure")
    if job.get("completions") is None:
        raise answers.not_played("a Job without completions")


def check(kind: Kind, obj: Object) -> None:
    """Refused with 422 for an object that breaks rules; all are told."""
    name = obj["metadata"]["name"]
    problems = [*_name(kind, name), *_metadata(obj["metadata"], "metadata")]
    if kind.kind in _RULES:
        problems += _RULES[kind.kind](obj)
    if problems:
        raise answers.invalid(kind, name, problems)
    if kind.kind == "Job":
        _check_played(obj["spec"])


def check_update(kind: Kind, before: Object, after: Object) -> None:
    """Refused with 422 where a field of a Job changes that may not."""
    if kind.kind != "Job":
        return
    old, new = before["spec"], after["spec"]
    name = after["metadata"]["name"]
    pairs = (
        ("spec.completions", old.get("completions"), new.get("completions")),
        ("spec.selector", old.get("selector"), new.get("selector")),
        ("spec.template.spec", old["template"]["spec"], new["template"]["spec"]),
        ("spec.template.metadata", old["template"]["metadata"], new["template"]["metadata"]),
        ("spec.completionMode", old.get("completionMode"), new.get("completionMode")),
        ("spec.podFailurePolicy", old.get("podFailurePolicy"), new.get("podFailurePolicy")),
    )
    problems = [_wrong(field, now, "field is immutable") for field, was, now in pairs if was != now]
    if problems:
        raise answers.invalid(kind, name, problems)


def check_schema(kind: Kind, obj: Object) -> None:
    """Refused with 400 for a field that the published schema does not have, or a value of the wrong type.

    A real server drops such a field with a warning, unless it is asked to be strict. The fake is always
    strict, so that no test passes with a field that would be lost.
    """
    if kind.custom:
        return
    problem = best_match(_validator(kind).iter_errors(obj))
    if problem is not None:
        path = ".".join(str(step) for step in problem.absolute_path)
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
        raise answers.bad_request(f"{message}strict decoding error: {path}: {problem.message}")


@functools.cache
def _schema(name: str) -> Any:
    """A file of `kubernetes_validate`, which itself reads all definitions anew for each object."""
    version = [each for each in utils.all_versions() if utils.major_minor(each) == SCHEMA_VERSION][-1]
    return utils.schema_contents(f"kubernetes-json-schema/v{version}-local-strict/{name}.json", version)


@functools.cache
def _validator(kind: Kind) -> Draft202012Validator:
    group = kind.group.partition(".")[0]
    schema = _schema(
        f"{kind.kind.lower()}-{group}-{kind.version}" if group else f"{kind.kind.lower()}-{kind.version}"
    )
    contents = (schema, _schema("_definitions"))
    registry: Registry[Any] = Registry().with_resources(
        [(each["$id"], Resource.from_contents(each)) for each in contents]
    )
    return Draft202012Validator(schema, registry=registry)


def cron_problem(schedule: str) -> str | None:
    """What robfig/cron v3 says about a schedule that it cannot read; None for a good one."""
    if schedule.startswith("@"):
        known = schedule in _DESCRIPTORS or schedule.startswith("@every ")
        return None if known else f"unrecognized descriptor: {schedule}"
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high, names) in zip(parts, (*_CRON_FIELDS, (0, 6, _WEEKDAYS)), strict=True):
        for each in part.split(","):
            if why := _range_problem(each, low, high, names.split()):
                return why
    return None


def _range_problem(text: str, low: int, high: int, names: list[str]) -> str | None:
    span, _, step = text.partition("/")
    if step and not step.isdigit():
        return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
    if step and int(step) == 0:
        return f"step of range should be a positive number: {text}"
    if span in ("*", "?"):
        return None
    ends: list[int] = []
    for end in span.split("-"):
        if end.lower() in names:
            ends.append(names.index(end.lower()) + low)
        elif end.isdigit():
            ends.append(int(end))
        else:
            return f'failed to parse int from {end}: strconv.Atoi: parsing "{end}": invalid syntax'
    first, last = ends[0], ends[-1]
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {text}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {text}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {text}"
    return None
