"""What this user saw of an environment's audit log outlives runs in a log that was changed since."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli import Ended
from tests.kubernetes.shop import Shop


def test_a_log_that_was_put_back_and_grew_again(live: Shop, tmp_path: Path) -> None:
    """A run tells it where it shows, and `verify` goes on finding it, however long the log has grown."""

    def here(*words: str) -> Ended:
        return live(*words, "--env", "staging", environ={"XDG_STATE_HOME": str(tmp_path / "state")})

    def run() -> Ended:
        ended = here("run", "count", "--up-to", "1")
        assert ended.code == 0, ended.err
        return ended

    assert "WARNING" not in run().err
    old = shutil.copytree(live.store.parent, tmp_path / "old")
    assert "WARNING" not in run().err
    assert here("audit", "verify").code == 0
    shutil.rmtree(live.store.parent)
    shutil.copytree(old, live.store.parent)
    assert "WARNING: the audit log was" in run().err
    run()
    run()
    verified = here("audit", "verify")
    assert (verified.code, "rewritten" in verified.out) == (1, True), verified.out
    assert here("audit", "accept", "--yes", "--reason", "put back").code == 0
    assert "WARNING" not in run().err
    assert here("audit", "verify").code == 0


def test_what_only_runs_have_seen(live: Shop, tmp_path: Path) -> None:
    """A log that was cut since is told by the next look."""
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    wish = ("run", "count", "--env", "staging")
    assert live(*wish, environ=environ).code == 0
    old = shutil.copytree(live.store.parent, tmp_path / "old")
    for _ in range(2):
        assert live(*wish, environ=environ).code == 0
    shutil.rmtree(live.store.parent)
    shutil.copytree(old, live.store.parent)
    assert "WARNING: the audit log was shortened" in live("runs", "--env", "staging", environ=environ).err
    assert "WARNING: the audit log was shortened" in live(*wish, environ=environ).err
