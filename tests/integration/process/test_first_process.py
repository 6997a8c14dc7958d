"""oneoff as the first process of a container, which the kernel gives no default action for a signal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli import ONEOFF, eventually

UNSHARE = ["unshare", "--fork", "--pid", "--kill-child"]


def allowed() -> bool:
    """Whether this user may make a pid namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not allowed(), reason="no pid namespace can be made here")
def test_it_ends_by_sigterm_while_its_app_is_loaded(tmp_path: Path) -> None:
    """With 75, at once; it would be killed after the grace of its pod."""
    (tmp_path / "admin.py").write_text("import pathlib, time\npathlib.Path('up').touch()\ntime.sleep(60)\n")
    (tmp_path / "oneoff.toml").write_text('[tool.oneoff]\napp = "admin:admin"\n')
    with subprocess.Popen([*UNSHARE, ONEOFF, "tasks"], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        eventually((tmp_path / "up").exists)
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(timeout=10) == 75
