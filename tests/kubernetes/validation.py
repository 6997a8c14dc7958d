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


def _pod_spec(spec: Object, at: str) -> Iterator[Problem]:
    if not spec.get("containers"):
        yield required(f"{at}.containers")
    for container in all_containers(spec):
        for needed in ("name", "image"):
            if not container.get(needed):
                yield required(f"{at}.containers[0].{needed}")


def _job_spec(spec: Object, at: str) -> Iterator[Problem]:
    template = spec["template"]["spec"]
    yield from _pod_spec(template, f"{at}.template.spec")
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
        if codes and codes["operator"] == "In" and 0 in codes["values"]:
            where = f"{at}.podFailurePolicy.rules[{number}].onExitCodes.values[0]"
            yield _wrong(where, 0, "must not be 0 for the In operator")


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
    problems = list(_name(kind, name))
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
