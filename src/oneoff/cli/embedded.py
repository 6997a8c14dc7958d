"""The Click group that an app ships as its own admin CLI."""

from __future__ import annotations

from typing import Any

import click

from oneoff.cli.run import TaskGroup
from oneoff.cli.session import Session
from oneoff.tasks.registry import Registry


class AppGroup(TaskGroup):
    """The tasks of one registry; it may stand alone or below another Click group."""

    def __init__(self, registry: Registry, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._registry = registry

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        extra["obj"] = Session(None, registry=self._registry)
        return super().make_context(info_name, args, parent, **extra)


def app_group(registry: Registry) -> click.Group:
    """A group with one command for each task."""
    return AppGroup(
        registry,
        name=registry.name,
        help=f"The admin tasks of {registry.name}.",
        subcommand_metavar="TASK [OPTIONS]...",
    )
