"""``oneoff run --env`` starts a Job that is the app, save that it runs the task."""

from __future__ import annotations

from tests.kubernetes.shop import Shop


def test_a_raw_command_in_a_pod(live: Shop) -> None:
    """It is the app's own process in all but its command; its record is in the app's store."""
    where = ("exec", "--env", "production", "--confirm", "production")
    ended = live(*where, "--", "sh", "-c", "echo $MODE $1", "x", "$HOME")
    assert ended.code == 0, ended.err
    assert "1e3 $HOME" in ended.out.splitlines()
    (run,) = live.in_pod("runs", "-o", "json").json
    assert (run["task"], run["status"], run["launcher"]) == ("exec", "succeeded", "kubernetes")
    assert (run["actor"]["name"], run["confirmation"]) == ("admin", "--confirm")
    assert run["launch"]["differs"] == {}
    assert not (live.laptop.root / ".oneoff").exists()
