from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oneoff.errors import NotDerivable
from oneoff.kube.derivation.starting import Start, start

ARGV = ("oneoff", "run", "it")


def started(
    command: list[str] | None,
    args: list[str] | None = None,
    *,
    keep: bool | None = None,
    wrapper: tuple[str, ...] = (),
) -> Start:
    """How a container of this command starts the run."""
    container = {"name": "app", "command": command, "args": args}
    return start(container, ARGV, keep_entrypoint=keep, wrapper=wrapper, path="spec")


def test_without_a_command_the_images_entrypoint_stays() -> None:
    """It may make the environment, and gets the run as its arguments."""
    for args in (None, ["gunicorn", "app"]):
        made = started(None, args)
        assert (made.command, made.args) == (None, list(ARGV))
    assert started(None, keep=False).command == list(ARGV)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["gunicorn", "app:app"], []),
        (["python", "-m", "http.server"], []),
        (["gunicorn", "app", "--", "x"], []),
        (["tini", "-g", "--", "gunicorn", "app"], ["tini", "-g", "--"]),
        (["/usr/bin/tini", "gunicorn"], ["/usr/bin/tini"]),
        (["dumb-init", "gunicorn"], ["dumb-init"]),
        (["doppler", "run", "--", "gunicorn"], ["doppler", "run", "--"]),
        (["aws-vault", "exec", "prod", "--", "puma"], ["aws-vault", "exec", "prod", "--"]),
        (["/vault/vault-env", "gunicorn"], ["/vault/vault-env"]),
        (["opentelemetry-instrument", "gunicorn"], ["opentelemetry-instrument"]),
        (["bundle", "exec", "puma"], ["bundle", "exec"]),
        (["uv", "run", "gunicorn"], ["uv", "run"]),
        (["gosu", "app", "gunicorn"], ["gosu", "app"]),
        (["/cnb/lifecycle/launcher", "gunicorn"], ["/cnb/lifecycle/launcher"]),
        (["env", "A=1", "B=2", "gunicorn"], ["env", "A=1", "B=2"]),
        (["/docker-entrypoint.sh", "gunicorn"], ["/docker-entrypoint.sh"]),
        (["sh", "-c", "exec dotenv run -- gunicorn"], ["dotenv", "run", "--"]),
        (["sh", "-c", "./entrypoint.sh 'gunicorn app'"], ["./entrypoint.sh"]),
        (["sh", "-c", "gunicorn app --bind :$PORT"], []),
        (["sh", "-c", "exec gunicorn app"], []),
    ],
)
def test_what_hands_its_arguments_on_stays(words: list[str], kept: list[str]) -> None:
    """Whether its words are in ``command`` or partly in ``args``; what is the app itself is replaced."""
    assert (started(words).command, started(words).args) == ([*kept, *ARGV], None)
    assert started(words[:1], words[1:]).command == [*kept, *ARGV]
    assert started(words, keep=False).command == list(ARGV)
    assert started(words, wrapper=("w", "--")).command == ["w", "--", *ARGV]
    kept_whole = started(words[:1], words[1:], keep=True)
    assert (kept_whole.command, kept_whole.args) == (words[:1], list(ARGV))


@pytest.mark.parametrize(
    "words",
    [
        ["/app/start.sh"],
        ["/docker-entrypoint"],
        ["sh", "/app/start.sh"],
        ["sh"],
        ["bash", "-o", "pipefail", "-c", "gunicorn"],
        ["uv", "run", "--frozen", "gunicorn"],
        ["tini", "-g", "gunicorn"],
        ["env", "-i", "gunicorn"],
        ["/cnb/process/web"],
        ["sh", "-c", "python manage.py migrate && gunicorn app"],
        ["sh", "-c", "source /env || true; gunicorn app"],
        ["sh", "-c", "gunicorn app | tee log"],
        ["sh", "-c", "nginx & gunicorn app"],
        ["sh", "-c", "if true; then gunicorn; fi"],
        ["sh", "-c", "(. /env; gunicorn)"],
        ["sh", "-c", "trap 'x' TERM; gunicorn"],
        ["sh", "-c", "export A=1 >/dev/null && gunicorn"],
        ["sh", "-c", "exec /app/start.sh"],
        ["sh", "-c", ". /env && tini -g gunicorn"],
        ["sh", "-c", "env HOME=$HOME gunicorn"],
        ["sh", "-c", ""],
        ["sh", "-c", "A=1"],
    ],
)
def test_what_nobody_can_tell_is_refused_with_the_choice(words: list[str]) -> None:
    """A run without the secrets that a script loads would be another app; one that migrates first, worse."""
    with pytest.raises(NotDerivable) as caught:
        started(words)
    assert "keep_entrypoint = true" in caught.value.next_step
    assert "wrapper" in caught.value.next_step
    assert started(words, keep=False).command == list(ARGV)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (". ./env && exec gunicorn app", "loaded here"),
        (". ./env; gunicorn app", "loaded here"),
        ("set -a\n. ./env\nset +a\ngunicorn app", "loaded here"),
        ("export SECRET=$(cat secret) && exec gunicorn", "of a file here"),
        ('export SECRET="$(cat secret)"; gunicorn', "of a file here"),
        ("SECRET=`cat secret`; export SECRET; gunicorn", None),
        ("SECRET=direct exec gunicorn", "direct here"),
        ("cd sub && SECRET='a; b && c' gunicorn", "a; b && c sub"),
        ('export SECRET="quoted \\" && x" && gunicorn', 'quoted " && x here'),
        (". ./env && env A=1 gunicorn", "loaded here"),
        ("export SECRET=${NOTHING:-default}; gunicorn", "default here"),
    ],
)
def test_the_shell_does_for_the_run_what_it_did_for_the_app(
    script: str, expected: str | None, tmp_path: Path
) -> None:
    """The rewritten command, executed: the run sees what the script has set, and its own words whole."""
    (tmp_path / "env").write_text("export SECRET=loaded\n")
    (tmp_path / "secret").write_text("of a file\n")
    (tmp_path / "sub").mkdir()
    container = {"name": "app", "command": ["sh", "-c", script]}
    show = 'printf "%s %s|%s" "$SECRET" "$(basename "$PWD" | sed s/^test.*/here/)" "$1"'
    argv = ("sh", "-c", show, "sh", "two words; $x")
    if expected is None:
        with pytest.raises(NotDerivable):
            start(container, argv, keep_entrypoint=None, wrapper=(), path="spec")
        return
    made = start(container, argv, keep_entrypoint=None, wrapper=(), path="spec")
    assert made.command is not None
    ended = subprocess.run(made.command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=10)
    assert ended.stdout == f"{expected}|two words; $x"


def test_a_login_shell_stays() -> None:
    """Its profile may make the environment, though the script does not."""
    assert started(["bash", "-lc", "gunicorn"]).command == ["bash", "-lc", 'exec "$@"', "bash", *ARGV]
