"""What ``oneoff`` offers, and what it costs to import it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import oneoff

NAMES = 20
SHARED = {"oneoff", "click"}
HELP_LOADS = {
    "oneoff",
    "oneoff.cli",
    "oneoff.cli.lazy",
    "oneoff.cli.main",
    "oneoff.cli.session",
    "oneoff.errors",
    "oneoff.version",
}
COSTLY = {"asyncio", "sqlite3", "subprocess", "tomllib", "http", "importlib.metadata", "ssl", "json"}
"""What asking for help must not load; each of them takes milliseconds."""


def loaded_by(code: str) -> set[str]:
    """The modules that this code loads beyond those of a bare Python."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"{code}\n"
        "loaded = sorted(set(sys.modules) - before); import json; print(json.dumps(loaded))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def foreign(modules: set[str]) -> set[str]:
    """The top-level names that are neither ours, click's nor the standard library's."""
    return {module.partition(".")[0] for module in modules} - SHARED - sys.stdlib_module_names


def test_the_names_are_sorted_and_few() -> None:
    """``__all__`` is a short, sorted list without doubles."""
    assert oneoff.__all__ == sorted(set(oneoff.__all__))
    assert len(oneoff.__all__) <= NAMES


@pytest.mark.parametrize("name", oneoff.__all__)
def test_every_name_resolves(name: str) -> None:
    """Each can be had from the package, and is no module by accident."""
    value = getattr(oneoff, name)
    assert type(value).__name__ != "module"
    assert name in dir(oneoff)


def test_an_unknown_name() -> None:
    """It is an AttributeError, as of any module, so that ``hasattr`` works."""
    assert not hasattr(oneoff, "Application")


def test_import_loads_nothing() -> None:
    """``import oneoff`` loads the package alone: not even click, not even one module of its own."""
    loaded = loaded_by("import oneoff")
    assert {module for module in loaded if module.partition(".")[0] in SHARED} == {"oneoff"}
    assert foreign(loaded) == set()


def test_an_app_costs_no_click() -> None:
    """An app with a task loads neither click nor a store, so that a web process does not pay for them."""
    loaded = loaded_by(
        "import oneoff\napp = oneoff.App('shop')\n@app.task\ndef greet(ctx: oneoff.Context, n: int = 1): ..."
    )
    assert foreign(loaded) == set()
    assert {"click", "sqlite3", "asyncio", "oneoff.cli", "oneoff.stores"} & loaded == set()


def test_the_whole_needs_click_alone() -> None:
    """Loading every module that a run on a laptop needs brings no library but click."""
    modules = "oneoff.app oneoff.cli.main oneoff.cli.run oneoff.cli.runs oneoff.cli.audit oneoff.cli.tasks"
    modules += " oneoff.cli.doctor oneoff.testing oneoff.stores.sqlite oneoff.wiring.project"
    modules += " oneoff.frameworks.clicks oneoff.frameworks.django oneoff.frameworks.flask"
    assert foreign(loaded_by("\n".join(f"import {module}" for module in modules.split()))) == set()


def test_an_app_pays_for_no_framework(tmp_path: Path) -> None:
    """Where the project is none of Django's or Flask's, nothing is loaded that reads their commands."""
    (tmp_path / "admin.py").write_text("import oneoff\nadmin = oneoff.App('shop')\n")
    loaded = loaded_by(
        "from pathlib import Path; from oneoff.settings import Settings\n"
        "from oneoff.wiring.project import load_registry\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "load_registry(Settings(root=folder, store=folder / 'store.db'), 'admin:admin')"
    )
    assert {
        "oneoff.frameworks.django",
        "oneoff.frameworks.flask",
        "oneoff.frameworks.clicks",
    } & loaded == set()
    assert {"click", "argparse"} & loaded == set()
    assert foreign(loaded) == {"admin"}


def test_help_loads_little() -> None:
    """``oneoff --help`` is click and a table of ours."""
    loaded = loaded_by(
        "from oneoff.cli.main import main\n"
        "try: main(['--help'], standalone_mode=False)\n"
        "except SystemExit: pass"
    )
    assert {module for module in loaded if module.partition(".")[0] == "oneoff"} == HELP_LOADS
    assert foreign(loaded) == set()
    assert loaded & COSTLY == set()
