"""``oneoff run --env`` starts a Job that is the app, save that it runs the task."""

from __future__ import annotations

from tests.kubernetes.shop import Shop


def test_a_bare_command(live: Shop) -> None:
    """An image without oneoff runs the command itself; whoever launched it judges by the pod."""
    ended = live("run", "db-migrate", "--env", "staging")
    assert (ended.code, ended.out) == (0, "migrating\n"), ended.err
