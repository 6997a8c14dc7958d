"""What every group of commands makes of what goes wrong below it."""

from __future__ import annotations

import click
from click.testing import CliRunner

from oneoff.cli.session import ShowingGroup


def test_ctrl_c_is_no_failed_task() -> None:
    """Where no task is at work, the exit code says that somebody interrupted, and not that a task failed."""

    @click.group(cls=ShowingGroup)
    def group() -> None:
        pass

    @group.command()
    def read() -> None:
        raise KeyboardInterrupt

    ended = CliRunner().invoke(group, ["read"])
    assert ended.exit_code == 130
    assert "error: interrupted" in ended.output
