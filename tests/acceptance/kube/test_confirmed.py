"""What was confirmed on the laptop reaches the pod, no more and no less, also where the settings differ."""

from __future__ import annotations

from tests.kubernetes.shop import Shop

ASKS_UNFORESEEN = """
import click

@click.group()
def cli():
    "The app's own."

def agreed():
    return getattr(click, "con" + "firm")("Really wipe it?")

@cli.command()
def wipe():
    "Wipe."
    print("WIPED" if agreed() else "kept")
"""
PURGE = ("run", "purge", "--env", "production", "--older-than", "7d")


def _protected(settings: str, *, so: bool) -> str:
    return settings.replace("protected = true", f"protected = {str(so).lower()}")


def test_a_question_that_nobody_saw_is_not_answered(live: Shop) -> None:
    """It shows in the pod only: the run fails, unless --yes was given."""
    (live.image / "admin.py").write_text(ASKS_UNFORESEEN)
    settings = live.image / "oneoff.toml"
    settings.write_text(settings.read_text().replace("admin:admin", "admin:cli"))
    ended = live("run", "wipe", "--env", "staging")
    assert (ended.code, "WIPED" in ended.out) == (1, False), ended.err
    assert live.in_pod("show", "@latest", "-o", "json").json["confirmation"] == "none needed"
    ended = live("run", "wipe", "--env", "staging", "--yes")
    assert (ended.code, "WIPED" in ended.out) == (0, True), ended.err


def test_protected_in_the_image_alone(live: Shop) -> None:
    """The pod refuses, with a command that works on the laptop."""
    settings = live.laptop.root / "oneoff.toml"
    settings.write_text(_protected(settings.read_text(), so=False))
    refused = live(*PURGE, "--yes")
    assert refused.code == 3
    assert (
        "next:  oneoff run purge --env production --yes --older-than 7d --confirm production" in refused.out
    )
    ended = live(*PURGE, "--yes", "--confirm", "production")
    assert ended.code == 0, ended.out + ended.err


def test_protected_on_the_laptop_alone(live: Shop) -> None:
    """The record has how it was confirmed, though the pod would not have asked for that."""
    settings = live.image / "oneoff.toml"
    settings.write_text(_protected(settings.read_text(), so=False))
    for wish in (PURGE, ("run", "count", "--env", "production")):
        ended = live(*wish, "--confirm", "production")
        assert ended.code == 0, ended.out + ended.err
        assert live.in_pod("show", "@latest", "-o", "json").json["confirmation"] == "--confirm"
