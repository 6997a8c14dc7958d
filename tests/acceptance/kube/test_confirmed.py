"""What was confirmed on the laptop reaches the pod, no more and no less, also where the settings differ."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.kubernetes.shop import NAMESPACE, Shop

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
SYNC = ("kube", "sync", "--env", "staging")
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


def test_a_schedule_protected_in_the_image_alone(live: Shop) -> None:
    """Its pods would refuse each run: it has to be confirmed as they demand, before anything is applied."""
    image = live.image / "oneoff.toml"
    staging = "[tool.oneoff.environments.staging]\n"
    image.write_text(
        image.read_text().replace(staging, staging + 'protected = true\nreason = "OPS-[0-9]+"\n')
    )
    refused = live(*SYNC, "--yes")
    assert refused.code == 3
    assert "note: staging is protected by the settings of the release, though not by" in refused.err
    assert "next:  oneoff kube sync --env staging --yes --reason '…' --confirm staging" in refused.err
    assert live.cluster.items("cronjobs", NAMESPACE) == []
    applied = live(*SYNC, "--confirm", "staging", "--reason", "OPS-7")
    assert applied.code == 0, applied.err
    job = live.cluster.fire(NAMESPACE, "web-nightly", datetime(2026, 11, 30, 1, tzinfo=UTC))
    assert job is not None
    assert live("wait", job["metadata"]["name"], "--env", "staging").code == 0
    assert live.in_pod("show", "@latest", "-o", "json").json["reason"] == "OPS-7"
    again = live(*SYNC, "--reason", "OPS-7", "--dry-run", "--exit-code")
    assert again.code == 0, again.out


def test_a_schedule_of_an_environment_that_the_image_has_not(live: Shop) -> None:
    """Its pods would not know what is demanded, and refuse each run."""
    image = live.image / "oneoff.toml"
    image.write_text(image.read_text().replace("environments.staging", "environments.stage"))
    refused = live(*SYNC, "--yes")
    assert (refused.code, live.cluster.items("cronjobs", NAMESPACE)) == (3, [])
    assert "the settings of the release have no environment staging" in refused.err


def test_protected_on_the_laptop_alone(live: Shop) -> None:
    """The record has how it was confirmed, though the pod would not have asked for that."""
    settings = live.image / "oneoff.toml"
    settings.write_text(_protected(settings.read_text(), so=False))
    for wish in (PURGE, ("run", "count", "--env", "production")):
        ended = live(*wish, "--confirm", "production")
        assert ended.code == 0, ended.out + ended.err
        assert live.in_pod("show", "@latest", "-o", "json").json["confirmation"] == "--confirm"
