"""``oneoff audit check``: works without a store, an app or a network."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from oneoff.audit.event import short_type
from oneoff.audit.note import origin_of
from oneoff.audit.receipt import NoReceipt, Shown, WrongReceipt, check
from oneoff.audit.verify import Pruned
from oneoff.cli.audit.evidence import checkpoint_option, given, key_option
from oneoff.cli.output import emit, output_option, visible
from oneoff.cli.session import Session
from oneoff.commands.checkpoints import vouch, weigh
from oneoff.commands.receipts import compared
from oneoff.errors import OneoffError, UsageError
from oneoff.types import JSONObject


@click.command("check")
@click.argument("receipt", metavar="RECEIPT")
@checkpoint_option
@key_option
@output_option
@click.pass_context
def check_command(
    ctx: click.Context, /, receipt: str, checkpoints: tuple[str, ...], keys: tuple[str, ...], output: str
) -> None:
    """Verify a receipt, a file or - for standard input, without a store.

    Exits with 1 where it shows nothing, or does not fit the checkpoint that is given.
    """
    try:
        shown = check(_read(receipt))
    except NoReceipt as error:
        raise UsageError(f"{receipt} is no receipt: {error}") from None
    except WrongReceipt as error:
        raise OneoffError(
            str(error),
            next_step="believe nothing that stands in it; have it made again with `oneoff audit prove`",
        ) from None
    session: Session = ctx.obj
    about: dict[str, Any] = {
        "origin": origin_of(shown.log),
        "settings": session.settings,
        "own_keys": session.keys,
    }
    signed_cut = shown.pruned is not None and not checkpoints  # then the keys are for that alone
    evidence = [] if signed_cut else given(partial(weigh, **about), checkpoints, keys)
    kept = [each.checkpoint for each in evidence]
    vouched = None if shown.pruned is None else vouch(shown.pruned, keys, **about)
    genuine = compared(shown, kept)
    document = {
        "ok": genuine is not False and (not kept or genuine is True),
        "run": shown.run_id,
        "log": shown.log,
        "checkpoint": str(shown.checkpoint),
        "genuine": genuine,
        "pruned": shown.pruned and _pruned(shown.pruned, vouched),
        "events": [{"place": place, "event": event} for place, event in shown.events],
    }
    emit(document, lambda: _words(shown, vouched, genuine, bool(kept)), output)
    ctx.exit(0 if document["ok"] else 1)


def _read(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode()
    except OSError as error:
        raise UsageError(f"the receipt {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no receipt: it is no text") from None


def _pruned(stated: Pruned, vouched: str | None) -> JSONObject:
    return {
        "events": stated.to,
        "at": stated.at,
        "by": stated.by,
        "reason": stated.reason,
        "vouched": vouched,
    }


def _words(shown: Shown, vouched: str | None, genuine: bool | None, asked: bool) -> str:
    run, log = visible(shown.run_id), visible(shown.log[:8])
    head = f"These {len(shown.events)} events of run {run} are in the log {log} as of the checkpoint"
    lines = [
        f"{head} {shown.checkpoint}:",
        *(f"  {_line(place, event)}" for place, event in shown.events),
        _beginning(shown, vouched),
        _ending(shown),
        "This does not show that the run has no further events, nor the actor's name: it is beside the log.",
        _checkpoint(shown, genuine, asked),
    ]
    return "\n".join(line for line in lines if line)


def _line(place: int, event: dict[str, Any]) -> str:
    data = event["data"]
    target, outcome = _object(data.get("target")), _object(data.get("outcome"))
    parts = [
        f"event {place}",
        event.get("time"),
        short_type(event.get("type")),
        f"task {target.get('task')} in {target.get('environment')}",
        "as a dry run" if target.get("dry_run") else "",
        f"by {_object(data.get('initiator')).get('subject')}",
        f"because {data.get('reason')}" if data.get("reason") else "",
        ": ".join(str(part) for part in (outcome.get("status"), outcome.get("error")) if part),
    ]
    return "  ".join(visible(part) for part in parts if part)


def _beginning(shown: Shown, vouched: str | None) -> str:
    if shown.whole:
        return ""
    if shown.pruned is None:
        return "It does not show how the run began."
    stated = shown.pruned
    return (
        f"They are what is kept of the run: events 0 to {stated.to - 1} of the log were pruned on "
        f"{visible(stated.at)}, by {visible(stated.by)}: {visible(stated.reason)}\n"
        f"The statement of that is event {stated.place}, {vouched}."
    )


def _ending(shown: Shown) -> str:
    if shown.types[-1] in ("outcome", "refused"):
        return ""
    return "It does not show how the run ended."


def _checkpoint(shown: Shown, genuine: bool | None, asked: bool) -> str:
    if genuine:
        return "The checkpoint is the one that was given: it is genuine if that one is."
    if genuine is False:
        return "NOT ok: the checkpoint is not the one that was given for the same number of events."
    if asked:
        return (
            f"NOT ok: the checkpoint that was given is not one of {shown.checkpoint.size} events, so the two "
            "cannot be compared: have a receipt made with `oneoff audit prove RUN --checkpoint` and yours."
        )
    return (
        "This does not show that the checkpoint is genuine: compare it with one that was kept elsewhere, by "
        "--checkpoint."
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
