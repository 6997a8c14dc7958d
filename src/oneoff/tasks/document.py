"""The document of a task, which is all that whoever lacks the app knows of it."""

from __future__ import annotations

from oneoff.tasks.parameters import Parameter
from oneoff.tasks.schema import json_schema
from oneoff.tasks.task import Task
from oneoff.types import JSONObject


def to_document(task: Task) -> JSONObject:
    """A task as ``-o json`` shows it; :func:`oneoff.tasks.fromschema.tasks_of` reads it."""
    return {
        "name": task.name,
        "help": task.help,
        "parameters": json_schema(task.name, task.help, task.parameters),
        "options": [_option(parameter) for parameter in task.parameters],
        "confirm": task.confirm,
        "lock": task.lock,
        "timeout_seconds": task.timeout.total_seconds() if task.timeout else None,
        "schedule": task.schedule,
        "time_zone": task.time_zone if task.schedule else None,
        "nature": task.nature,
        "command": list(task.command) if task.command else None,
        "runner": task.runner,
        "origin": task.origin or None,
        "hides": list(task.hides),
    }


def _option(parameter: Parameter) -> JSONObject:
    """What the command line knows of a parameter, and JSON Schema has no words for."""
    kind = parameter.kind
    return {
        "parameter": parameter.name,
        "option": parameter.option,
        "kind": kind.name,
        "metavar": kind.metavar,
        "repeated": parameter.multiple,
        "positional": parameter.positional,
        "members": [
            {"name": member.name, "names": list(member.names), "value": member.value}
            for member in kind.members
        ],
    }
