"""Mistakes on the laptop are told there, before anything is created."""

from __future__ import annotations

import pytest

from tests.kubernetes.shop import LAPTOP, Shop


def test_an_environment_that_is_not_there(live: Shop) -> None:
    """It is that which is told, not that the laptop has no such task."""
    ended = live("run", "purge", "--env", "stagin", "--older-than", "3d")
    assert ended.code == 2
    assert "there is no environment 'stagin' (did you mean 'staging'?)" in ended.err
    ended = live("run", "purge", "--older-than", "3d")
    assert ended.code == 2
    assert "elsewhere with --env production or --env staging" in ended.err


def test_a_value_that_no_command_line_holds(live: Shop) -> None:
    """A container with it could not start."""
    text = "def say(ctx: oneoff.Context, text: str) -> None:\n    print(len(text))\n"
    (live.image / "admin.py").write_text(
        f"import oneoff\n\nadmin = oneoff.App('shop')\n\n\n@admin.task\n{text}"
    )
    (live.laptop.root / "long").write_text("é" * 65_536)
    ended = live("run", "say", "--env", "staging", "--text", "@long")
    assert ended.code == 2
    assert "text: is 131,072 bytes long" in ended.err
    assert live.jobs() == []
    (live.laptop.root / "long").write_text("é" * 65_535)
    ended = live("run", "say", "--env", "staging", "--text", "@long")
    assert (ended.code, "65535" in ended.out) == (0, True), ended.err


@pytest.mark.parametrize("other", [("run", "nightly"), ("run", "db-migrate")])
def test_an_id_of_another_task(live: Shop, other: tuple[str, ...]) -> None:
    """It stays the id of the run that has it, which `wait` goes on to tell of."""
    assert live("run", "count", "--env", "staging", "--run-id", "r1").code == 0
    ended = live(*other, "--env", "staging", "--run-id", "r1")
    assert ended.code == 3
    assert "run r1 is of the task count, not" in ended.err
    assert [job["metadata"]["name"] for job in live.jobs()] == ["count-r1"]
    assert live("wait", "r1", "--env", "staging").out == "run r1 succeeded\n"


def test_what_wait_tells_of_a_dry_run(live: Shop) -> None:
    """It is called one, protected as its environment is, and of the app as `run` says it."""
    wish = ("run", "purge", "--env", "production", "--older-than", "3d", "--dry-run")
    launched = live(*wish, "--run-id", "r1", "-o", "json").json
    told = live("wait", "r1", "--env", "production", "-o", "json").json
    for name in ("app", "dry_run", "protected", "command", "task", "environment"):
        assert told[name] == launched[name], name
    assert told["dry_run"] is told["protected"] is True
    assert launched["parameters"] == {"older_than": "P3D", "mode": "soft"}
    assert told["parameters"] is told["reason"] is told["version"] is launched["fence"] is None
    assert live("wait", "r1", "--env", "production").out == "run r1 (dry run) succeeded\n"
    raw = live("exec", "--env", "staging", "--run-id", "r2", "-o", "json", "--", "echo", "--", "$(X)").json
    assert live("wait", "r2", "--env", "staging", "-o", "json").json["command"] == raw["command"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (("kube", "preflight"), "which environment is meant?\nnext:  name it: --env production or --env"),
        (("kube", "render", "count"), "which environment is meant?"),
        (("run", "--env", "staging"), "which task is to run?\nnext:  name it: oneoff run TASK --env staging"),
        (("logs", "r1"), "`oneoff runs` lists those here; elsewhere with --env production or --env staging"),
        (("wait", "@latest"), "runs elsewhere with --env production or --env staging"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_what_was_left_out_is_asked_for(live: Shop, wish: tuple[str, ...], words: str) -> None:
    """Whoever forgets an option is told which, and what it may be."""
    ended = live(*wish)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


@pytest.mark.parametrize("verb", ["wait", "logs", "cancel"])
def test_a_namespace_that_is_not_there(live: Shop, verb: str) -> None:
    """It is that which is told, not that the run's Job is gone."""
    live.laptop.write(oneoff_toml=LAPTOP.format(more="").replace('"shop"', '"shpo"'))
    ended = live(verb, "r1", "--env", "staging")
    assert ended.code == 2
    assert "there is no namespace shpo in the cluster of the context fake" in ended.err
