"""The start-up options of a dry run's process."""

from __future__ import annotations

from oneoff.databases.postgres.options import Armed, arm


def test_options_of_the_user_are_kept_and_ours_win() -> None:
    """libpq lets a later option win, so ours come last; arming twice changes nothing."""
    environ = {"PGOPTIONS": "-c default_transaction_read_only=off"}
    arm(environ)
    once = dict(environ)
    arm(environ)
    assert environ == once
    assert environ["PGOPTIONS"].startswith("-c default_transaction_read_only=off ")
    assert environ["PGOPTIONS"].rindex("read_only=on") > environ["PGOPTIONS"].rindex("read_only=off")


def test_the_environment_is_as_before_afterwards() -> None:
    """A variable that was not there is gone again."""
    environ: dict[str, str] = {}
    with Armed(environ):
        assert "default_transaction_read_only=on" in environ["PGOPTIONS"]
    assert environ == {}


def test_blocks_that_end_out_of_order_leave_the_environment_as_before() -> None:
    """The seal's block outlives the command's where the task left a thread running."""
    environ = {"PGOPTIONS": "-c search_path=shop"}
    outer, inner = Armed(environ), Armed(environ)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert "default_transaction_read_only=on" in environ["PGOPTIONS"]
    inner.__exit__(None, None, None)
    assert environ == {"PGOPTIONS": "-c search_path=shop"}
