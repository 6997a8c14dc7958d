"""How the run's command is started: as the app's container starts, wrappers included, or not at all.

A workload may start through what makes its environment: the image's entrypoint, ``dotenv run --``,
``sh -c "source /vault/env && …"``. Equal variables in the manifest do not make an equal environment then. So
what is known to hand its arguments on is kept; what starts the app and no more is replaced; and where nobody
can tell, the derivation is refused with the choice.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Final

from oneoff.errors import NotDerivable
from oneoff.kube.objects import Change, Object

THROUGH_DASHES: Final = frozenset(
    {
        "aws-vault",
        "chamber",
        "dotenv",
        "doppler",
        "dumb-init",
        "envconsul",
        "infisical",
        "op",
        "teller",
        "tini",
    }
)
"""Programs that run what follows ``--``."""

HANDING_ON: Final = {
    **dict.fromkeys(("ddtrace-run", "dumb-init", "opentelemetry-instrument", "tini", "vault-env"), 1),
    "launcher": 1,  # of Cloud Native Buildpacks
    **dict.fromkeys(("gosu", "su-exec"), 2),
    **dict.fromkeys(("bundle exec", "dotenv run", "hatch run", "newrelic-admin run-program"), 2),
    **dict.fromkeys(("pdm run", "pipenv run", "poetry run", "uv run"), 2),
}
"""Programs that run what follows their own words, and how many these are."""

_SHELLS: Final = frozenset({"ash", "bash", "dash", "sh", "zsh"})
_SETTING_UP: Final = frozenset({".", "cd", "eval", "export", "set", "source", "ulimit", "umask", "unset"})
"""What a shell does before the app starts that only makes its environment."""
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_EXPANDED: Final = frozenset("$`*?[~")
_BUILDPACK_PROCESS: Final = "/cnb/process/"


@dataclass(frozen=True)
class Start:
    """``command`` and ``args`` of a container; None where the image's own are meant."""

    command: list[str] | None
    args: list[str] | None
    changes: list[Change]


def start(
    container: Object,
    argv: Sequence[str],
    *,
    keep_entrypoint: bool | None,
    wrapper: Sequence[str],
    path: str,
) -> Start:
    """How the container starts ``argv``, whose words are already safe from expansion by Kubernetes.

    Args:
        keep_entrypoint: True sets ``args`` alone, so that the command or the image's entrypoint gets them;
            False starts ``argv`` and nothing else; None decides by what the workload's command is.
        wrapper: Words to put before ``argv``; then nothing else is decided.

    Raises:
        NotDerivable: what starts the app may make its environment, and nobody can tell how.
    """
    command: list[str] = list(container.get("command") or [])
    args: list[str] = list(container.get("args") or [])
    if wrapper:
        return _instead([*wrapper, *argv], path, "the settings name the wrapper")
    if keep_entrypoint is False:
        return _instead(list(argv), path, "keep_entrypoint is false: no entrypoint and no wrapper starts it")
    if keep_entrypoint or not command:
        what = "the command" if command else "the image's entrypoint"
        changes = [Change(f"{path}.args", "replaced", f"{what} stays, and gets the run as its arguments")]
        if keep_entrypoint is None:
            unseen = (
                "nobody sees here what the image's entrypoint does with its arguments: see keep_entrypoint"
            )
            changes.append(Change(f"{path}.command", "kept", unseen))
        return Start(command or None, list(argv), changes)
    words = [*command, *args]
    if PurePosixPath(words[0]).name in _SHELLS:
        return _of_shell(words, argv, path)
    kept = _kept(words)
    return _instead([*kept, *argv], path, _reason(kept))


def _reason(kept: Sequence[str]) -> str:
    words = " ".join(kept)
    return f"{words} stays before it: it may make the environment" if kept else "a run runs its own command"


def _instead(words: list[str], path: str, reason: str) -> Start:
    return Start(words, None, [Change(f"{path}.command", "replaced", reason)])


def _unknown(what: str) -> NotDerivable:
    return NotDerivable(
        what,
        next_step="choose in the environment's kubernetes table: keep_entrypoint = true gives it the run as "
        "its arguments, keep_entrypoint = false starts the run without it, and "
        'wrapper = ["sh", "-c", ". /env && exec \\"$@\\"", "sh"] starts it behind words of your own',
    )


def _is_script(word: str) -> bool:
    name = PurePosixPath(word).name
    return name.endswith(".sh") or "entrypoint" in name


def _kept(words: Sequence[str]) -> list[str]:
    """The first words of a command that run what follows them; none where they are the app itself."""
    if not _is_script(words[0]):
        return _handing_on(words)
    if len(words) == 1:
        raise _unknown(f"{words[0]} starts the app, and may make its environment")
    return [words[0]]


def _handing_on(words: Sequence[str]) -> list[str]:
    program = PurePosixPath(words[0]).name
    if program in THROUGH_DASHES and "--" in words:
        return list(words[: words.index("--") + 1])
    if program == "env":
        count = 1 + len(list(takewhile(_ASSIGNMENT.match, words[1:])))
    else:
        count = HANDING_ON.get(" ".join([program, *words[1:2]]), HANDING_ON.get(program, 0))
    if count and any(word.startswith("-") for word in words[count : count + 1]):
        raise _unknown(f"{' '.join(words[: count + 1])} … has options, and nobody can tell where they end")
    if words[0].startswith(_BUILDPACK_PROCESS):
        raise _unknown(
            f"{words[0]} is a process of a buildpack, which makes the environment of that one alone"
        )
    return list(words[:count]) if len(words) > count else []


def _of_shell(words: Sequence[str], argv: Sequence[str], path: str) -> Start:
    """``sh -c SCRIPT``: what makes the environment stays, and the run takes the place of the last command."""
    flags = words[1] if len(words) > 1 else ""
    if not re.fullmatch(r"-[a-z]*c", flags) or len(words) < 3:
        if len(words) > 1 and not flags.startswith("-"):
            raise _unknown(f"the shell script {words[1]} starts the app, and may make its environment")
        raise _unknown(f"{' '.join(words)} starts the app in a way that cannot be taken apart")
    apart = _before_last(words[2])
    if apart is None:
        raise _unknown(f"{words[0]} {flags} starts the app by more than can be taken apart: {words[2]!r}")
    before, last = apart
    kept = _kept(last)
    if any(set(word) & _EXPANDED for word in kept):  # as words of their own the shell would not expand them
        raise _unknown(f"{words[0]} {flags} makes words of {' '.join(kept)!r} that nobody knows here")
    if not before and flags == "-c":
        return _instead([*kept, *argv], path, _reason(kept))
    script = f'{before}exec "$@"'
    reason = "what the shell does before it starts the app stays: it may make the environment"
    return _instead([words[0], flags, script, words[0], *kept, *argv], path, reason)


def _before_last(script: str) -> tuple[str, list[str]] | None:
    """What stands before the script's last command, and that; None where it is more than that."""
    commands = _commands(script.strip())
    if not commands:
        return None
    *first, last = commands
    if not all(_makes_environment(text) for text, _ in first):
        return None
    assignments = ""
    rest = last[0]
    while _ASSIGNMENT.match(rest):
        word = _first_word(rest)
        assignments += f"{word} "
        rest = rest[len(word) :].lstrip()
    try:
        words = shlex.split(rest)
    except ValueError:
        return None
    words = words[1:] if words[:1] == ["exec"] else words
    return ("".join(text + end for text, end in first) + assignments, words) if words else None


def _makes_environment(command: str) -> bool:
    word = _first_word(command)
    return word in _SETTING_UP or bool(_ASSIGNMENT.match(word))


def _first_word(command: str) -> str:
    place = 0
    for place, letter, outside in _letters(command):
        if outside and letter.isspace():
            return command[:place]
    return command


def _commands(script: str) -> list[tuple[str, str]] | None:
    """Each command with what ends it (``&&``, ``;`` or a new line), or None where there is other grammar."""
    found: list[tuple[str, str]] = []
    begin, skip = 0, -1
    for place, letter, outside in _letters(script):
        if not outside or place <= skip:
            continue
        end = "&&" if script.startswith("&&", place) else letter if letter in ";\n" else ""
        if end:
            skip = place + len(end) - 1
            text = script[begin:place].strip()
            if text:
                found.append((text, f" {end} " if end != "\n" else "\n"))
            begin = skip + 1
        elif letter in "|&(){}#`<>":
            return None
    text = script[begin:].strip()
    if text:
        found.append((text, ""))
    words = {_first_word(command) for command, _ in found}
    return None if words & {"if", "for", "while", "until", "case", "function", "trap", "!"} else found


def _letters(text: str) -> list[tuple[int, str, bool]]:
    """Each letter with its place, and whether it stands outside of quotes and of ``$(…)`` and ``${…}``."""
    found: list[tuple[int, str, bool]] = []
    quote, depth, place = "", 0, 0
    while place < len(text):
        letter = text[place]
        inside = bool(quote or depth)
        if letter == "\\" and quote != "'":
            found += [(at, text[at], False) for at in range(place, min(place + 2, len(text)))]
            place += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote, inside = letter, True
        elif depth:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(letter, 0)
        elif letter == "$" and text[place + 1 : place + 2] in ("(", "{"):
            found.append((place, letter, False))
            place, depth, letter, inside = place + 1, 1, text[place + 1], True
        found.append((place, letter, not inside))
        place += 1
    return found
