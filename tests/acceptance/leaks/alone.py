"""The app of a process of its own, for one way: also as a program, which does it as a command would."""

from __future__ import annotations

import importlib
import os

import oneoff
from tests.acceptance.leaks.way import Group, Way, from_json


def _find() -> tuple[Group, Way]:
    """Named by its module, which alone is imported then, its group and itself."""
    module, group, name = os.environ["LEAK_WAY"].split()
    found: Group = getattr(importlib.import_module(f"tests.acceptance.leaks.{module}"), group)
    return found, next(way for way in found.ways if way.name == name)


place = from_json(os.environ["LEAK_PLACE"])
group, way = _find()
entered = way.before(place)
place.earlier = entered.__enter__()
admin = oneoff.App("leaks", database=place.database if group.database == "postgres" else None)


@admin.task
def leak() -> None:
    """Do it."""
    way.code(place)


if __name__ == "__main__":
    way.code(place)
